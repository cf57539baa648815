import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import { loadImplementation } from '../../actions/implementations.ts';
import { ActionError, type ActionContext, type ActionImplementation } from '../action.ts';
import { Runner } from '../runner.ts';
import type { ScriptedStep } from './scripted-step.ts';

/**
 * A runner for tests in which the actions `filesystem.*` do what the parameter `script` says, so that
 * steps, plans and stops can be seen in a real sandbox.
 */
const scripted: ActionImplementation = {
  async plan(context) {
    const content = readFileSync(context.spec.parameters['device'] as string);
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    context.note('planned');
    return {
      target: { zebra: 1, apple: { pear: [2, 1] } },
      summary: 'rewrite',
      findings: [],
      preconditions: [{ what: 'the device', digest }],
      steps: scriptOf(context).map((step) => ({
        id: step.id,
        description: `run ${step.id}`,
        changes: [],
        declaredFolders: [],
        backup: null,
        verify: 'nothing',
        undo: { possible: false, why: 'a test' },
        interrupt: step.interrupt,
        interruptBoundSeconds: 1,
      })),
    };
  },

  async apply(context, plan) {
    for (const step of scriptOf(context)) await runStep(context, step);
    const device = context.spec.parameters['device'] ?? null;
    const result: JsonValue = { device, planned: plan?.steps.length ?? null };
    return { succeeded: true, reason: null, exitStatus: 0, result };
  },

  async undo(context) {
    const { directory, records } = context.undone!;
    const saved = records.filter((record) => record.type === 'step_saved');
    const contents = saved
      .flatMap((record) => record.backups)
      .map((backup) => readFileSync(join(directory, backup.path), 'utf8'));
    return { succeeded: true, reason: null, exitStatus: 0, result: { contents } };
  },
};

function scriptOf(context: ActionContext): ScriptedStep[] {
  return context.spec.parameters['script'] as unknown as ScriptedStep[];
}

async function runStep(context: ActionContext, script: ScriptedStep): Promise<void> {
  const { id, interrupt, make = [], run, save, fail, crash, rollback } = script;
  const step = { id, description: `run ${id}`, interrupt };
  await context.step(step, async (saved) => {
    if (save !== undefined) {
      const path = join('backups', id);
      mkdirSync(join(context.directory, 'backups'), { recursive: true });
      writeFileSync(join(context.directory, path), save);
      const digest = `sha256:${createHash('sha256').update(save).digest('hex')}`;
      await saved([{ path, bytes: save.length, digest }]);
    }
    let secret = '';
    for (const name of make) {
      secret = randomBytes(12).toString('base64url');
      await context.sealOutput(name, secret);
    }
    context.progress('step', 50, `in ${id}`);
    if (run !== undefined) {
      const options = {
        ...(rollback !== undefined && { signal: context.signal }),
        ...(make.length > 0 && { input: secret }),
      };
      const { signal } = await context.run(['sh', '-c', run], options);
      if (signal !== null && rollback !== undefined) await context.run(['sh', '-c', rollback]);
      if (signal !== null) throw new ActionError('step_killed', `${id} got ${signal}`);
    }
    if (crash !== undefined) setTimeout(() => fault(crash), 1);
    if (crash !== undefined) await new Promise(() => undefined);
    if (fail !== undefined) throw new ActionError(fail, `${id} failed`);
  });
}

function fault(message: string): never {
  throw new TypeError(message);
}

await new Runner(
  async (id) => (/^(?:filesystem|diagnostics)\./.test(id) ? scripted : loadImplementation(id)),
  Number(process.argv[2]),
).listen();

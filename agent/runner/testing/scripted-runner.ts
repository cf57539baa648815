import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import { loadImplementation } from '../../actions/implementations.ts';
import { leftToUndo } from '../../jobs/left-to-undo.ts';
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
    const contents = leftToUndo(records)
      .flatMap((record) => record.backups)
      .map((backup) => readFileSync(join(directory, backup.path), 'utf8'));
    return { succeeded: true, reason: null, exitStatus: 0, result: { contents } };
  },
};

function scriptOf(context: ActionContext): ScriptedStep[] {
  return context.spec.parameters['script'] as unknown as ScriptedStep[];
}

async function runStep(context: ActionContext, script: ScriptedStep): Promise<void> {
  const { id, interrupt, before, make = [], run, save, fail, crash, rollback } = script;
  const step = { id, description: `run ${id}`, interrupt };
  const putBack = async () => {
    const { exitStatus } = await context.run(['sh', '-c', rollback ?? 'true']);
    if (exitStatus !== 0) throw new ActionError('not_put_back', `${id} exited with ${exitStatus}`);
  };
  const body: Parameters<ActionContext['step']>[1] = async (saved) => {
    if (before !== undefined) {
      const { signal } = await context.run(['sh', '-c', before], { signal: context.signal });
      if (signal !== null) throw new ActionError('step_killed', `${id} got ${signal}`);
    }
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
        ...(interrupt === 'rollback' && { signal: context.signal }),
        ...(make.length > 0 && { input: secret }),
      };
      const { signal } = await context.run(['sh', '-c', run], options);
      if (signal !== null) throw new ActionError('step_killed', `${id} got ${signal}`);
    }
    if (crash !== undefined) setTimeout(() => fault(crash), 1);
    if (crash !== undefined) await new Promise(() => undefined);
    if (fail !== undefined) throw new ActionError(fail, `${id} failed`);
  };
  const done = context.step(step, body, interrupt === 'rollback' ? putBack : undefined);
  await (script.isOptional ? done.catch(() => undefined) : done);
}

function fault(message: string): never {
  throw new TypeError(message);
}

await new Runner(
  async (id) => (/^(?:filesystem|diagnostics)\./.test(id) ? scripted : loadImplementation(id)),
  Number(process.argv[2]),
).listen();

import { createHash } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { restoreConfigurationParameters } from '../../../proto/actions/service.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Cover } from '../../target/offline/run-inside.ts';
import type { TriedSystem } from '../../target/offline/try-inside.ts';
import type { Target } from '../../target/open-target.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import { fileRepair, type FileRepairPlan } from '../files/file-repair.ts';
import { contentDigest, openFolderOf, readState, type FileState } from '../files/file-state.ts';
import { counted } from '../filesystem/counted.ts';
import { scratchFolder } from '../filesystem/scratch-space.ts';
import { recordedConffile, type RecordedConffile } from '../packages/conffiles.ts';
import { findInArchives, type FoundContent } from '../packages/find-lost-file.ts';
import {
  checkedService,
  checkTried,
  wrongConfiguration,
  wrongText,
  type CheckedService,
  type WrongConfiguration,
} from './wrong-configurations.ts';

const LINKS_MAX = 8;
const DIVERSIONS = '/var/lib/dpkg/diversions';
const LACKING = ', but for what only the running service has';

/** A configuration file as it is to become. */
interface Draft {
  path: string;
  bytes: Buffer;
  mode: number;
}

/**
 * Puts the file with which a service does not start back as its package brought it: only where the
 * service's own check finds fault with a line now, and with nothing in that file's place.
 */
export const restoreConfiguration = fileRepair({
  inspect,
  async findFault(context, target) {
    const { unit } = restoreConfigurationParameters.parse(context.spec.parameters);
    const service = await serviceOf(target.files, unit);
    const wrong =
      target.kind === 'live'
        ? await wrongConfiguration(target.runInside, service, { hasAll: true })
        : await foresee(context, target, service);
    return wrong === null ? null : `${unit} would still not start: ${wrongText(wrong)}.`;
  },
});

async function inspect(context: ActionContext, target: Target): Promise<FileRepairPlan> {
  const { unit, file } = restoreConfigurationParameters.parse(context.spec.parameters);
  const service = await serviceOf(target.files, unit);
  const wrong = await foresee(context, target, service);
  const verify = `The service's own check finds nothing wrong${target.kind === 'live' ? '' : LACKING}.`;
  if (wrong === null) {
    const summary = `Nothing to do: the check of ${unit} finds nothing wrong${LACKING}.`;
    return { summary, findings: [], steps: [], target: { unit }, verify };
  }
  requirePlaced(wrong);
  const path = await withoutLinks(target, file);
  const recorded = await requireConffile(target.files, path, wrong);
  const before = await readState(target.root, path);
  if (before !== null && md5Of(before.bytes) === recorded.md5) {
    throw new ActionError(
      'file_unchanged',
      `${path} is as ${recorded.package} brought it; ${wrongText(wrong)}. Correct that line. Nothing was changed.`,
    );
  }
  const { bytes, mode, from } = await requireOriginal(context, target, recorded);
  const draft = { path, bytes, mode: before?.mode ?? mode };
  await requireSound(context, target, service, draft, before);
  const isOpen = await mayOthersRead(target.files, path, draft.mode);
  const shown = isOpen ? {} : { shown: withoutContent };
  return {
    summary: `Put ${path} back as ${recorded.package} brought it. All that people have written there is kept by this job alone, and the undo brings it back. ${unit} is neither started nor stopped.`,
    findings: [wrongText(wrong), `${from} has the file of ${recorded.package}`],
    steps: [
      {
        id: 'file',
        description: `Put ${path} back as its package brought it`.slice(0, 500),
        changes: [{ kind: 'file', path, content: bytes, mode, ...shown }],
        verify: 'It has the sum that its package came with.',
      },
    ],
    target: { unit },
    verify,
  };
}

/** Who plans sees no more of a file than every user of the server does: it may hold a password. */
async function mayOthersRead(files: TargetFiles, path: string, mode: number): Promise<boolean> {
  if ((mode & 0o004) === 0) return false;
  for (let folder = dirname(path); folder !== '/'; folder = dirname(folder)) {
    if ((((await files.stat(folder))?.mode ?? 0) & 0o001) === 0) return false;
  }
  return true;
}

function withoutContent(text: string): string {
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  return `(${counted(lines, 'line', 'lines')} that not everybody may read: ${contentDigest(Buffer.from(text))})\n`;
}

async function serviceOf(files: TargetFiles, unit: string): Promise<CheckedService> {
  const service = await checkedService(files, unit);
  if (service !== null) return service;
  throw new ActionError(
    'not_checkable',
    `nobody can say what is wrong with the configuration of ${unit}: it is masked, no check of it is known, or its program is not installed`,
  );
}

/** Which file is at fault nobody can say then: none is put back on a guess. */
function requirePlaced(wrong: WrongConfiguration): void {
  if (wrong.place !== null) return;
  throw new ActionError(
    'fault_unplaced',
    `${wrongText(wrong)}. Mend what it complains of by hand. Nothing was changed.`,
  );
}

/**
 * What the service's own check says, with a draft in the place of its file or without, where nothing that it
 * writes is kept.
 */
async function foresee(
  context: ActionContext,
  target: Target,
  service: CheckedService,
  draft?: Draft,
): Promise<WrongConfiguration | null> {
  if (target.kind === 'offline') {
    return checkTried(context, target, async (system) => {
      if (draft !== undefined) await write(system, draft);
      return wrongConfiguration(system.runInside, service);
    });
  }
  const covers = draft === undefined ? [] : [await coverOf(context, draft)];
  return wrongConfiguration(
    (argv, options) => target.runInside(argv, { ...options, readOnly: true, covers }),
    service,
  );
}

async function coverOf(context: ActionContext, { path, bytes }: Draft): Promise<Cover> {
  const own = join(await scratchFolder(context), 'draft');
  await writeFile(own, bytes, { mode: 0o644 });
  return { at: path, with: own };
}

async function write({ root }: TriedSystem, { path, bytes, mode }: Draft): Promise<void> {
  const folder = await openFolderOf(root, path);
  if (folder === null) throw new ActionError('folder_missing', `${dirname(path)} is not there`);
  try {
    const name = folder.entry(basename(path));
    await rm(name, { force: true });
    await writeFile(name, bytes, { mode, flag: 'wx' });
  } finally {
    await folder.close();
  }
}

/** A name in `sites-enabled` is a link to the file that the package brought. */
async function withoutLinks({ files, root }: Target, file: string): Promise<string> {
  let path = posix.normalize(file);
  for (let links = 0; links < LINKS_MAX; links++) {
    const folder = await openFolderOf(root, path);
    if (folder === null) throw new ActionError('folder_missing', `${dirname(path)} is not there`);
    await folder.close();
    path = posix.join(folder.path, basename(path));
    const link = await files.readLink(path);
    if (link === null) return path;
    path = posix.resolve(dirname(path), link);
  }
  throw new ActionError('not_a_plain_file', `${file} leads over too many links`);
}

async function requireConffile(
  files: TargetFiles,
  path: string,
  wrong: WrongConfiguration,
): Promise<RecordedConffile> {
  const recorded = await recordedConffile(files, path);
  if (recorded === null) {
    throw new ActionError(
      'no_original',
      `no package has brought ${path} as a configuration file, so that there is nothing to go back to; ${wrongText(wrong)}. Correct that line. Nothing was changed.`,
    );
  }
  const diverted = ((await files.read(DIVERSIONS)) ?? '').split('\n').includes(path);
  if (!diverted) return recorded;
  throw new ActionError(
    'file_diverted',
    `${path} of ${recorded.package} was moved aside for another package (dpkg-divert --list). Nothing was changed.`,
  );
}

async function requireOriginal(
  context: ActionContext,
  target: Target,
  recorded: RecordedConffile,
): Promise<FoundContent> {
  const found = await findInArchives(context, target, [recorded]);
  const original = found.get(recorded.path);
  if (original !== undefined) return original;
  throw new ActionError(
    'archive_missing',
    `no archive in /var/cache/apt/archives has ${recorded.path} as the installed ${recorded.package} brought it. Put the archive of that version there (apt-get download ${recorded.package}), then plan again. Nothing was changed.`,
  );
}

/** A file that is not there cannot be shown to a check on a running system: that judges it afterwards. */
async function requireSound(
  context: ActionContext,
  target: Target,
  service: CheckedService,
  draft: Draft,
  before: FileState | null,
): Promise<void> {
  if (target.kind === 'live' && before === null) return;
  const wrong = await foresee(context, target, service, draft);
  if (wrong === null) return;
  throw new ActionError(
    'fault_elsewhere',
    `also with ${draft.path} as its package brought it ${service.id} would not start: ${wrongText(wrong)}. Nothing was changed.`,
  );
}

function md5Of(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}

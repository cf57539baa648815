import { dirname } from 'node:path';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import type { ChangeStep } from '../files/change-steps.ts';
import type { FileRepair, FileRepairPlan } from '../files/file-repair.ts';
import { openFolderOf, readState } from '../files/file-state.ts';
import { lostDaemonFolders } from './daemon-folders.ts';
import { RECORD_MAX_BYTES } from './dpkg-record.ts';
import { findLostFiles, LIBC_MAX_BYTES } from './find-lost-file.ts';
import { DPKG_STATUS } from './installed-packages.ts';
import { lostLibcFiles } from './libc-files.ts';
import { lostRecord } from './lost-record.ts';
import { badSources } from './source-lines.ts';

/** How the plan of such a repair is told from the others of `packages.repair`. */
export const FILES_FAULT = 'files';

type Part = Pick<FileRepairPlan, 'findings'> & { step: ChangeStep };

/**
 * What keeps packages from being worked on at all, and is mended by single files: the files without which no
 * program starts, dpkg's record, lines at which apt stops, folders that daemons write to.
 */
export const packageFiles: FileRepair = {
  async inspect(context, target) {
    const parts = [
      await libcPart(context, target),
      await recordPart(target),
      await sourcesPart(target),
      await foldersPart(target),
    ].filter((part) => part !== null);
    const done = parts.map(({ step }) =>
      step.description.replace(/^./, (one) => one.toLowerCase()),
    );
    return {
      target: { fault: FILES_FAULT },
      summary: `Mend what keeps packages from being worked on: ${done.join('; ')}. Plan again afterwards: what else is wrong shows only then.`,
      findings: parts.flatMap(({ findings }) => findings).slice(0, 100),
      steps: parts.map(({ step }) => step),
      verify:
        'The files that every program needs are there, dpkg knows its packages, apt reads its sources.',
    };
  },
  async findFault(_context, target) {
    const [lost] = await lostLibcFiles(target.files);
    if (lost !== undefined) return `${lost.path} is still not there.`;
    if (target.kind === 'offline' && (await lostRecord(target.files)) !== null) {
      return 'dpkg still knows no packages.';
    }
    const [bad] = await badSources(target.files);
    if (bad !== undefined) return `apt still stops at line ${bad.line} of ${bad.file}.`;
    const [folder] = await lostDaemonFolders(target.files);
    if (folder !== undefined) return `${folder.path} is still not there.`;
    if (target.kind === 'live') return null;
    const { exitStatus, err } = await target.runInside(['/bin/true'], { output: 'capture' });
    return exitStatus === 0 ? null : `Its programs do not start: ${err.trim().slice(0, 300)}`;
  },
};

async function libcPart(context: ActionContext, target: Target): Promise<Part | null> {
  const lost = await lostLibcFiles(target.files);
  if (lost.length === 0) return null;
  const contents = await findLostFiles(context, target, lost);
  const changes = [];
  for (const { path, package: name } of lost) {
    const content = contents.get(path);
    if (content === undefined) {
      throw new ActionError(
        'file_lost',
        `${path} of ${name} is gone, and neither lies about nor is in an archive that the system keeps. Put it back from the archive of its package.`,
      );
    }
    const { bytes, mode, from } = content;
    changes.push({
      kind: 'file' as const,
      path: await realPath(target, path),
      content: bytes,
      mode,
      copyOf: from,
      maxBytes: LIBC_MAX_BYTES,
    });
  }
  return {
    findings: lost.map(({ path, package: name }) => `${path} of ${name} is gone`),
    step: {
      id: 'loader',
      description: 'Put the files back without which no program starts',
      changes,
      verify: 'Each has the sum that its package came with; a program of the system starts.',
    },
  };
}

/** Where a name leads: /lib is a link to /usr/lib, say. Throws ActionError when its folder is not there. */
async function realPath(target: Target, path: string): Promise<string> {
  const folder = await openFolderOf(target.root, path);
  if (folder === null) throw new ActionError('file_lost', `${dirname(path)} is not there, either`);
  await folder.close();
  return `${folder.path === '/' ? '' : folder.path}${path.slice(dirname(path).length)}`;
}

/** On a running system dpkg may be at work: see `applyRepair`. */
async function recordPart(target: Target): Promise<Part | null> {
  const lost = target.kind === 'live' ? null : await lostRecord(target.files);
  if (lost === null) return null;
  const { copy, known, there } = lost;
  const state = copy === null ? null : await readState(target.root, copy, false, RECORD_MAX_BYTES);
  if (copy === null || state === null) {
    throw new ActionError(
      'record_lost',
      `dpkg's record ${DPKG_STATUS} is lost, and no copy on the disk fits the ${there} packages whose files are there.`,
    );
  }
  return {
    findings: [`${DPKG_STATUS} names no package, but the files of ${there} are there`],
    step: {
      id: 'record',
      description: `Put the copy of dpkg's record back that knows ${known} packages`,
      changes: [
        {
          kind: 'file',
          path: DPKG_STATUS,
          content: state.bytes,
          mode: 0o644,
          copyOf: copy,
          maxBytes: RECORD_MAX_BYTES,
        },
      ],
      verify: 'dpkg knows the packages whose files it has.',
    },
  };
}

/** apt reads no source while it cannot read one; a line that is commented out loses nothing. */
async function sourcesPart(target: Target): Promise<Part | null> {
  const bad = await badSources(target.files);
  if (bad.length === 0) return null;
  const changes = [];
  for (const file of new Set(bad.map((one) => one.file))) {
    const state = await readState(target.root, file);
    if (state === null) continue;
    const lines = state.bytes.toString('latin1').split('\n');
    for (const { line } of bad.filter((one) => one.file === file)) {
      lines[line - 1] = `# ${lines[line - 1]}`;
    }
    const content = Buffer.from(lines.join('\n'), 'latin1');
    changes.push({ kind: 'file' as const, path: file, content, mode: state.mode });
  }
  return {
    findings: bad.map(({ file, line, why }) => `line ${line} of ${file}: ${why}`),
    step: {
      id: 'sources',
      description: 'Comment out the lines of sources at which apt stops',
      changes,
      verify: 'apt can read every line that is left.',
    },
  };
}

async function foldersPart(target: Target): Promise<Part | null> {
  const lost = await lostDaemonFolders(target.files);
  if (lost.length === 0) return null;
  return {
    findings: lost.map(({ path, package: name }) => `${path}, which ${name} brought, is gone`),
    step: {
      id: 'folders',
      description: 'Make the folders anew that daemons write to',
      changes: lost.map(({ path, mode, uid, gid }) => ({ kind: 'folder', path, mode, uid, gid })),
      verify: 'They are there.',
    },
  };
}

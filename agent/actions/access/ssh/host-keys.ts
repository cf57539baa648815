import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { constants } from 'node:fs';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import type { Change } from '../../files/change-steps.ts';
import { scratchFolder } from '../../filesystem/scratch-space.ts';
import type { ConfigDraft } from './config-draft.ts';
import { fingerprintOf } from '../public-key.ts';

const OTHERS = 0o077;
const DEFAULT_KEYS = ['rsa', 'ecdsa', 'ed25519'].map((type) => `/etc/ssh/ssh_host_${type}_key`);
const NEW_KEY = '(a new key)\n';
/** sshd_config(5): kinds of key by the name of their file. */
const TYPE = /(?:^|_)(rsa|ecdsa|ed25519)(?:_|$)/;

export interface KeyFaults {
  /** Keys that others may read, which sshd therefore does not use. */
  modes: Change[];
  /** Files for which new keys must be made: there is no other that sshd could use. */
  toMake: string[];
  findings: string[];
}

/** The files in which sshd looks for its keys. */
export function keyPaths(draft: ConfigDraft): string[] {
  const named = draft
    .directives('hostkey')
    .map(({ args }) => args.replaceAll('"', ''))
    .filter((path) => path.startsWith('/'));
  return named.length > 0 ? [...new Set(named)] : DEFAULT_KEYS;
}

/** What sshd says of keys it was asked to load. */
export interface KeyComplaints {
  unloadable: readonly string[];
  /** Those it does not load because others may read them. */
  tooOpen: readonly string[];
}

/**
 * What is wrong with the host keys, by sshd's own word: distributions differ in whom they let read them.
 *
 * @param ask how sshd likes some keys, all of which are there
 */
export async function judgeKeys(
  target: Target,
  paths: readonly string[],
  ask: (keys: readonly string[]) => Promise<KeyComplaints>,
): Promise<KeyFaults> {
  const faults: KeyFaults = { modes: [], toMake: [], findings: [] };
  const there: string[] = [];
  for (const path of paths) if ((await target.files.stat(path)) !== null) there.push(path);
  const { unloadable, tooOpen } =
    there.length === 0 ? { unloadable: [], tooOpen: [] } : await ask(there);
  for (const path of tooOpen) {
    const mode = ((await target.files.stat(path))?.mode ?? 0) & 0o7777 & ~OTHERS;
    faults.modes.push({ kind: 'attributes', path, mode });
    faults.findings.push(`${path} could be read by others: think about making a new key.`);
  }
  if (there.some((path) => tooOpen.includes(path) || !unloadable.includes(path))) return faults;
  faults.toMake = paths.filter((path) => TYPE.test(basename(path)));
  if (faults.toMake.length === 0) {
    throw new ActionError(
      'host_keys_unknown',
      `of which kind ${paths.join(', ')} are is not known`,
    );
  }
  faults.findings.push(
    `sshd has no host key it can use: new ones are made, and clients will be warned that the server's key has changed.`,
  );
  return faults;
}

/** Out of what `sshd -t` prints. */
export function parseComplaints(said: string): KeyComplaints {
  const all = (pattern: RegExp) => [...said.matchAll(pattern)].map(([, path]) => path!);
  return {
    unloadable: all(/^Unable to load host key: (\/.*?)\r?$/gm),
    tooOpen: all(/^Permissions \d+ for '(\/.*?)' are too open\.\r?$/gm),
  };
}

/** A key that was made, in memory. */
export interface NewHostKey {
  path: string;
  type: string;
  fingerprint: string;
  secret: Buffer;
  open: Buffer;
}

/** Both files of each key; in a plan, before there are keys, with words in their place. */
export function keyChanges(path: string, key: NewHostKey | null): Change[] {
  const inPlan = Buffer.from(NEW_KEY);
  const shown = (text: string) => (text === NEW_KEY ? text : '(the old key)\n');
  const file = { kind: 'file', liftsFlags: true, label: 'sshd_key_t' } as const;
  return [
    {
      ...file,
      path,
      content: key?.secret ?? inPlan,
      mode: 0o600,
      corrects: { mode: 0o600, uid: 0, gid: 0 },
      shown,
    },
    {
      ...file,
      path: `${path}.pub`,
      content: key?.open ?? inPlan,
      mode: 0o644,
      shown,
    },
  ];
}

/** Lets the target's ssh-keygen make keys into the job's own folder, where nothing of them is left. */
export async function makeHostKeys(
  context: ActionContext,
  target: Target,
  paths: readonly string[],
): Promise<NewHostKey[]> {
  const folder = join(await scratchFolder(context), 'host-keys');
  const keys: NewHostKey[] = [];
  try {
    for (const path of paths) {
      const [, type = ''] = TYPE.exec(basename(path)) ?? [];
      await mkdir(folder, { mode: 0o700 });
      const done = await target.runInside(
        ['ssh-keygen', '-q', '-t', type, '-N', '', '-C', 'root', '-f', '/run/keys/key'],
        { output: 'capture', covers: [{ at: '/run/keys', with: folder, writable: true }] },
      );
      if (done.exitStatus !== 0) {
        throw new ActionError('host_keys_not_made', `ssh-keygen: ${done.err.trim().slice(0, 400)}`);
      }
      const secret = await readMade(join(folder, 'key'));
      const openPart = await readMade(join(folder, 'key.pub'));
      const blob = openPart.toString('latin1').split(/\s+/)[1] ?? '';
      keys.push({ path, type, fingerprint: fingerprintOf(blob), secret, open: openPart });
      await rm(folder, { recursive: true });
    }
    return keys;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What a program of the target has written: perhaps no file at all. */
async function readMade(path: string): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = await handle.stat();
    if (size > 0 && size < 64 * 1024) return await readFile(handle);
  } finally {
    await handle.close();
  }
  throw new ActionError('host_keys_not_made', 'what ssh-keygen wrote is no key');
}

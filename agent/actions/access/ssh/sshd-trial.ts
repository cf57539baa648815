import { generateKeyPairSync } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { CommandStartError } from '../../../process/command-start-error.ts';
import type { Cover } from '../../../target/offline/run-inside.ts';
import type { Target } from '../../../target/open-target.ts';
import { scratchFolder } from '../../filesystem/scratch-space.ts';
import { parseSettings } from '../../diagnostics/ssh/sshd-settings.ts';
import type { ConfigDraft } from './config-draft.ts';

/** By its full path: sshd refuses to be called otherwise. */
export const SSHD = '/usr/sbin/sshd';
const SSH_FOLDER = '/etc/ssh';
const TRIAL_KEY = 'trial_key';
const WITHIN_MS = 30_000;

/** For whom sshd is asked how it would serve them. */
export interface Visitor {
  user: string;
  /** Address of the client; sshd's own words are about it where they name addresses. */
  address: string;
}

export interface SshdSaid {
  passed: boolean;
  /** Its complaints. */
  said: string;
  /** Effective settings by name in small letters; only where it was asked for them, and answered. */
  settings: ReadonlyMap<string, string[]>;
}

/**
 * The target's own sshd, asked about files as they are to become: they lie in the job's folder and are shown
 * to it in the place of those of the target. Nothing of the target is changed.
 */
export class SshdTrial {
  private readonly target: Target;
  private readonly folder: string;
  private count = 0;

  private constructor(target: Target, folder: string) {
    this.target = target;
    this.folder = folder;
  }

  /** Removes all it wrote when `body` is over. */
  static async use<T>(
    context: ActionContext,
    target: Target,
    body: (trial: SshdTrial) => Promise<T>,
  ): Promise<T> {
    const folder = join(await scratchFolder(context), 'sshd');
    await mkdir(folder, { mode: 0o700 });
    try {
      return await body(new SshdTrial(target, folder));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** Whether sshd would start, judged with a host key of its own: those of the target are another question. */
  check(draft: ConfigDraft, accounts: ReadonlyMap<string, Buffer> = new Map()): Promise<SshdSaid> {
    return this.ask(draft, accounts, ['-t'], []);
  }

  /** How it would serve somebody. */
  serve(
    draft: ConfigDraft,
    { user, address }: Visitor,
    accounts: ReadonlyMap<string, Buffer> = new Map(),
  ): Promise<SshdSaid> {
    const visitor = `user=${user},host=client.invalid,addr=${address}`;
    return this.ask(draft, accounts, ['-T', '-C', visitor], []);
  }

  /** Whether it can use these host keys, which are there. */
  async checkKeys(
    draft: ConfigDraft,
    accounts: ReadonlyMap<string, Buffer>,
    keys: readonly string[],
  ): Promise<SshdSaid> {
    return this.ask(draft, accounts, ['-t'], keys);
  }

  private async ask(
    draft: ConfigDraft,
    accounts: ReadonlyMap<string, Buffer>,
    question: readonly string[],
    keys: readonly string[],
  ): Promise<SshdSaid> {
    const stage = join(this.folder, String(this.count++));
    const covers = await this.coversOf(stage, draft, accounts, keys);
    const own = keys.length > 0 ? [] : ['-o', `HostKey=${SSH_FOLDER}/${TRIAL_KEY}`];
    try {
      const done = await this.target.runInside([SSHD, ...question, ...own], {
        output: 'capture',
        timeoutMs: WITHIN_MS,
        covers,
      });
      const passed = done.exitStatus === 0;
      return { passed, said: done.err, settings: parseSettings(passed ? done.out : '') };
    } catch (error) {
      if (!(error instanceof CommandStartError) || error.failure !== 'not_found') throw error;
      throw new ActionError('sshd_missing', `${SSHD} cannot be run: ${error.message}`);
    } finally {
      await rm(stage, { recursive: true, force: true });
    }
  }

  private async coversOf(
    stage: string,
    draft: ConfigDraft,
    accounts: ReadonlyMap<string, Buffer>,
    keys: readonly string[],
  ): Promise<Cover[]> {
    const { files } = this.target;
    const ssh = join(stage, 'ssh');
    await mkdir(ssh, { recursive: true, mode: 0o755 });
    await mkdir(join(stage, 'empty'), { mode: 0o755 });
    await writeFile(join(ssh, TRIAL_KEY), throwawayKey(), { mode: 0o600 });
    const covers: Cover[] = [
      // sshd refuses to answer without the folder in which it gives up its powers.
      { at: '/run/sshd', with: join(stage, 'empty') },
      { at: SSH_FOLDER, with: ssh },
    ];
    const show = async (path: string, bytes: Buffer) => {
      const place = isOfSsh(path)
        ? join(ssh, path.slice(SSH_FOLDER.length))
        : join(stage, 'file', path);
      await mkdir(dirname(place), { recursive: true, mode: 0o755 });
      await writeFile(place, bytes, { mode: 0o644 });
      if (!isOfSsh(path)) covers.push({ at: path, with: place });
    };
    for (const [named, text] of draft.texts()) {
      const path = plain(named);
      if (!isOfSsh(path) && !draft.isChanged(named)) continue;
      await show(path, Buffer.from(text, 'latin1'));
    }
    for (const [path, bytes] of accounts) await show(path, bytes);
    for (const path of keys.map(plain)) {
      if (!isOfSsh(path)) continue;
      const found = await files.locate(path);
      if (found === null) continue;
      await show(path, Buffer.alloc(0));
      covers.push({ at: path, with: found });
    }
    return covers;
  }
}

/** A path that the disk names, without `..`: only then does it stay in a folder that it is joined to. */
const plain = (path: string) => posix.resolve('/', path);

const isOfSsh = (path: string) => path.startsWith(`${SSH_FOLDER}/`);

let key: string | undefined;

/** PKCS#8 would not do: sshd reads an ECDSA key in the form of SEC 1 (RFC 5915). */
function throwawayKey(): string {
  key ??= generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'sec1', format: 'pem' })
    .toString();
  return key;
}

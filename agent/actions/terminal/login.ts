import { accessSync, constants, statSync } from 'node:fs';
import { ActionError } from '../../runner/action.ts';
import type { ActionContext } from '../../runner/action.ts';
import { minimalEnvironment } from '../../process/run-command.ts';

export interface Login {
  argv: [string, ...string[]];
  environment: Record<string, string>;
  directory: string;
  shell: string;
}

const FALLBACK_SHELL = '/bin/sh';

/**
 * How to become the user. Root gets its shell directly, so that a server whose PAM is broken can still be
 * repaired; anybody else's session is made by `runuser`, with their groups and limits. Throws ActionError.
 */
export async function findLogin(
  context: ActionContext,
  user: string,
  term: string,
): Promise<Login> {
  const account = await lookUp(context, user);
  if (account === null && user !== 'root') {
    throw new ActionError('user_unknown', `There is no user ${user} on this server.`);
  }
  const wanted = account?.shell ?? FALLBACK_SHELL;
  const isRoot = account === null || account.uid === 0;
  const shell = isRoot && !isProgram(wanted) ? FALLBACK_SHELL : wanted;
  const home = account?.home ?? '/root';
  return {
    argv: isRoot ? [shell, '-l'] : ['runuser', '--login', user],
    environment: {
      PATH: minimalEnvironment['PATH']!,
      LANG: 'C.UTF-8',
      TERM: term,
      HOME: home,
      SHELL: shell,
      USER: user,
      LOGNAME: user,
    },
    directory: isRoot && isFolder(home) ? home : '/',
    shell,
  };
}

interface Account {
  uid: number;
  home: string;
  shell: string;
}

async function lookUp(context: ActionContext, user: string): Promise<Account | null> {
  const { out, exitStatus } = await context.run(['getent', 'passwd', user], {
    output: 'capture',
    timeoutMs: 10_000,
  });
  const [name, , uid, , , home, shell] = out.split('\n')[0]!.split(':');
  if (exitStatus !== 0 || name !== user || home === undefined) return null;
  return {
    uid: Number(uid),
    home,
    shell: shell === undefined || shell === '' ? FALLBACK_SHELL : shell,
  };
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

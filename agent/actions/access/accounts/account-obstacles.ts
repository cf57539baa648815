import { ActionError } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import type { Change } from '../../files/change-steps.ts';
import { isExpired, PASSWD, readAccount, shellFor, today } from '../account.ts';
import { withoutHashes } from '../database-lines.ts';
import { clearFailures } from '../login-lockout.ts';

export interface ObstacleRepair {
  changes: Change[];
  findings: string[];
}

/**
 * What keeps one account from logging in with the password it has: a lock, an expiry, a shell, a list of failed
 * log-ins. Throws ActionError `no_password_to_unlock` where there is none: that is for access.reset-password.
 */
export async function removeObstacles(
  target: Target,
  user: string,
  wantedShell: string | undefined,
): Promise<ObstacleRepair> {
  const account = await readAccount(target, user);
  const { passwd, shadow } = account;
  const fields = [...account.fields];
  const repair: ObstacleRepair = { changes: [], findings: [] };
  const [, unlocked = ''] = /^!+(.*)$/.exec(fields[1] ?? '') ?? [];
  if (fields[1]?.startsWith('!') === true && !unlocked.startsWith('$')) {
    throw new ActionError(
      'no_password_to_unlock',
      `${user} is locked and has no password below the lock: order access.reset-password`,
    );
  }
  if (unlocked !== '') {
    fields[1] = unlocked;
    repair.findings.push(
      `${user} is locked: with the lock taken away its old password works again.`,
    );
  }
  if (isExpired(fields, today())) {
    repair.findings.push(`${user} has expired, on day ${fields[7]} since 1970.`);
    fields[7] = '';
  }
  repair.changes.push({
    kind: 'file',
    path: shadow.path,
    content: shadow.with(user, fields).bytes,
    mode: 0o640,
    liftsFlags: true,
    // A lock that goes is all that differs of a hash.
    shown: (text) => withoutHashes(text),
  });
  const shell = await shellFor(target, account, wantedShell);
  if (shell !== null) {
    const entry = passwd.entry(user)!.with(6, shell);
    const content = passwd.with(user, entry).bytes;
    repair.changes.push({
      kind: 'file',
      path: PASSWD,
      content,
      mode: 0o644,
      liftsFlags: true,
      shown: withoutHashes,
    });
    repair.findings.push(`The shell of ${user} is ${account.shell}; it becomes ${shell}.`);
  }
  const failures = await clearFailures(target, user);
  if (failures.length > 0) repair.findings.push(`Failed log-ins of ${user} are on record.`);
  repair.changes.push(...failures);
  return repair;
}

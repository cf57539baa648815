import { ActionError, type ActionContext } from '../../../runner/action.ts';
import type { RestoreSshParameters } from '../../../../proto/actions/access.ts';
import type { Target } from '../../../target/open-target.ts';
import { readPeople, type People } from '../../diagnostics/accounts/account-files.ts';
import type { Change, ChangeStep } from '../../files/change-steps.ts';
import { readState } from '../../files/file-state.ts';
import { fixKeyModes } from '../authorized-key.ts';
import { parsePublicKey, type PublicKey } from '../public-key.ts';
import { ConfigDraft } from './config-draft.ts';
import { damagedPaths } from './damaged-paths.ts';
import { fixConfig } from './fix-config.ts';
import { judgeKeys, keyChanges, keyPaths, parseComplaints, type NewHostKey } from './host-keys.ts';
import { mendListening, socketsOf } from './listen.ts';
import { openLogin } from './open-login.ts';
import { peopleOf, setting, type Serve, type Settings } from './login-policy.ts';
import { oneChangePerPath } from './one-change-per-path.ts';
import { judgeSeparation } from './privilege-separation.ts';
import { judgeSshSocket, judgeSshUnits } from './ssh-units.ts';
import { SshdTrial } from './sshd-trial.ts';

const NOLOGIN = '/etc/nologin';
const SOMEWHERE = '192.0.2.1';

/** Everything that keeps SSH from working, and what to do about it. */
export interface SshRepairs {
  /** @param keys the host keys that were made; null in a plan, before there are any */
  steps: (keys: readonly NewHostKey[] | null) => ChangeStep[];
  /** Files for which host keys are to be made. */
  hostKeysToMake: string[];
  /** All files in which sshd looks for its keys. */
  hostKeyPaths: string[];
  findings: string[];
  /** Who gets in that was kept out. */
  letIn: string[];
  /** What this action must not decide. */
  left: string[];
  service: string | null;
  socket: string | null;
  /** Where sshd will listen; of an order that names a port, there alone. */
  sockets: { host: string; port: number }[];
}

/** Looks at all of it and changes nothing. Throws ActionError `sshd_missing` where there is no sshd. */
export async function findSshRepairs(
  context: ActionContext,
  target: Target,
  parameters: RestoreSshParameters,
): Promise<SshRepairs> {
  const original = await ConfigDraft.read(target);
  if (original === null || (await target.files.stat('/usr/sbin/sshd')) === null) {
    throw new ActionError(
      'sshd_missing',
      'sshd, or its configuration, is not there: install openssh-server',
    );
  }
  return SshdTrial.use(context, target, (trial) =>
    judge(context, target, parameters, original, trial),
  );
}

async function judge(
  context: ActionContext,
  target: Target,
  parameters: RestoreSshParameters,
  original: ConfigDraft,
  trial: SshdTrial,
): Promise<SshRepairs> {
  const paths = await damagedPaths(target);
  const separation = await judgeSeparation(target);
  const { accounts } = separation;
  const fixed = await fixConfig(original, parameters, (draft) => trial.check(draft, accounts));
  if (fixed.left !== null) {
    throw new ActionError(
      'config_beyond_repair',
      `sshd does not start, and names no line: ${fixed.left}`,
    );
  }
  const address = parameters.from ?? SOMEWHERE;
  const serve: Serve = async (draft, user) => {
    const { passed, said, settings } = await trial.serve(draft, { user, address }, accounts);
    if (passed) return settings;
    throw new ActionError('config_beyond_repair', `sshd -T: ${said.trim().slice(0, 400)}`);
  };
  const hostKeyPaths = keyPaths(fixed.draft);
  const hostKeys = await judgeKeys(target, hostKeyPaths, async (keys) => {
    const { said } = await trial.checkKeys(fixed.draft, accounts, keys);
    return parseComplaints(said);
  });
  const listening = await mendListening(context, target, fixed.draft, parameters, (draft) =>
    serve(draft, 'root'),
  );
  const people = await readPeople(target);
  const login = await openLogin(target, people, listening.draft, serve, {
    user: parameters.user,
    key: keyOf(context, parameters),
    isKeyOrdered: parameters.key !== undefined,
    passwords: parameters.passwords,
  });
  const settings = await serve(login.draft, 'root');
  const sockets = socketsOf(settings);
  const units = await judgeSshUnits(target);
  const socket =
    units.socket === null
      ? { changes: [], findings: [] }
      : await judgeSshSocket(target, units.socket, [...new Set(sockets.map(({ port }) => port))]);
  const keyModes = await allKeyModes(target, people, settings, login.keys);
  const nologin = await nologinChange(target);
  const wanted = (keys: readonly NewHostKey[] | null): ChangeStep[] =>
    oneChangePerPath([
      step('paths', 'Give damaged folders and files their modes and owners back', paths.changes),
      step(
        'separation',
        'Give sshd the user and folder it gives up its powers to',
        separation.changes,
      ),
      step('configuration', 'Correct the configuration of sshd', login.draft.changes()),
      step('host-keys', 'Give sshd host keys that it can use', [
        ...hostKeys.modes,
        ...hostKeys.toMake.flatMap((path) =>
          keyChanges(path, keys?.find((key) => key.path === path) ?? null),
        ),
      ]),
      step('unit', 'Let sshd start with the system', [...units.changes, ...socket.changes]),
      step('key', 'Let a key in', login.keys),
      step('key-modes', 'Give keys the modes and owners that sshd wants', keyModes.changes),
      step('nologin', 'Let others than root log in', nologin),
    ]);
  return {
    steps: wanted,
    hostKeysToMake: hostKeys.toMake,
    hostKeyPaths,
    findings: [
      ...paths.findings,
      ...separation.findings,
      ...fixed.findings,
      ...hostKeys.findings,
      ...listening.findings,
      ...units.findings,
      ...socket.findings,
      ...login.findings,
      ...keyModes.findings,
      ...(nologin.length > 0 ? [`${NOLOGIN} is there: only root may log in.`] : []),
    ],
    letIn: login.letIn,
    left: [...listening.left, ...login.left],
    service: units.service,
    socket: units.socket,
    sockets: sockets.filter(({ port }) => port === (parameters.port ?? port)),
  };
}

function step(id: string, description: string, changes: readonly Change[]): ChangeStep {
  return { id, description, changes, verify: 'sshd itself is asked once all is done.' };
}

/** The key of the order, else the one that the client wants let in in place of a password. */
function keyOf(
  { spec }: Pick<ActionContext, 'spec'>,
  { key }: RestoreSshParameters,
): PublicKey | null {
  if (key !== undefined) return parsePublicKey(key);
  const named = spec.credentialRecipient;
  return named?.type === 'ssh' ? parsePublicKey(named.publicKey) : null;
}

/** Of everybody who has keys: sshd passes over those that others could have put there. */
async function allKeyModes(
  target: Target,
  people: People,
  settings: Settings,
  added: readonly Change[],
): Promise<{ changes: Change[]; findings: string[] }> {
  const found: { changes: Change[]; findings: string[] } = { changes: [], findings: [] };
  if (setting(settings, 'strictmodes') === 'no') return found;
  const paths = added.map(({ path }) => path);
  for (const account of peopleOf(people)) {
    try {
      found.changes.push(...(await fixKeyModes(target, account, paths)));
    } catch (error) {
      if (!(error instanceof ActionError)) throw error;
      // The one whose key is let in has been looked at before.
      found.findings.push(
        `The keys of ${account.name} are left alone: ${error.message}`.slice(0, 500),
      );
    }
  }
  return found;
}

async function nologinChange({ root }: Target): Promise<Change[]> {
  const found = await readState(root, NOLOGIN);
  return found === null
    ? []
    : [{ kind: 'file', path: NOLOGIN, content: null, mode: 0, liftsFlags: true }];
}

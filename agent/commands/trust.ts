import path from 'node:path';
import { locate } from '../config.ts';
import type { AgentOptions } from '../config.ts';
import { trustDirectory } from '../connection/enroll.ts';
import { loadIdentity } from '../connection/identity.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import { PinnedTrust } from '../trust/pinned-trust.ts';
import type { ListedKey } from '../trust/pinned-trust.ts';
import { PolicyFile } from '../trust/policy.ts';
import { printJson, printLines } from './printing.ts';
import { acceptTime, TrustedClock } from '../trust/trusted-clock.ts';

/** Prints everything an order is judged by, for comparison with what the operator and the client say. */
export async function trustCommand(options: AgentOptions & { json?: boolean }): Promise<number> {
  const { stateDirectory, policyFile } = locate(options);
  const identity = await loadIdentity(stateDirectory);
  const directory = trustDirectory(stateDirectory);
  const listing = (await PinnedTrust.load(directory, identity.accountId)).list();
  const policy = new PolicyFile(policyFile).read();
  const clock = await TrustedClock.open(path.join(directory, 'time-mark'));
  const { nowMs, jumped } = clock.read();
  const agent = {
    key: keyFingerprint(identity.signer.key),
    ageRecipient: identity.ageRecipient,
    agentId: identity.agentId,
    serverId: identity.serverId,
    accountId: identity.accountId,
    mode: identity.mode,
  };
  if (options.json === true) {
    const time = { now: new Date(nowMs).toISOString(), jumped };
    printJson({ agent, ...listing, policy, time });
    return 0;
  }
  const keys = (entries: readonly ListedKey[]) =>
    entries.map(
      ({ name, fingerprint, use }) => `    ${fingerprint}   ${name} (${use || 'no use'})`,
    );
  const lines = [
    `Agent key      ${agent.key}`,
    `Sealed to      ${agent.ageRecipient}`,
    `CA key         ${listing.pins.caPin}`,
    `Operator root  version ${listing.root.version}, ${listing.root.threshold} of ${listing.root.keys.length} keys`,
    `    ${listing.root.digest}`,
    `    pinned: ${listing.pins.rootDigest}`,
    ...keys(listing.root.keys),
    `Account keys   ${listing.accountKeys === null ? 'none' : `version ${listing.accountKeys.version}`}`,
    ...(listing.accountKeys === null
      ? []
      : [
          `    ${listing.accountKeys.digest}`,
          `    pinned: ${listing.pins.accountKeysDigest}`,
          ...keys(listing.accountKeys.keys),
        ]),
    `Policy         ${policy.usable ? policy.digest : `cannot be used: ${policy.why}`}`,
    `Time           ${new Date(nowMs).toISOString()}${jumped ? '   the clock jumped ahead: nothing starts' : ''}`,
    ...(jumped
      ? ['Next: intervene-agent trust accept-time   (if the clock of this server is right)']
      : []),
  ];
  printLines(lines);
  return 0;
}

export async function acceptTimeCommand(options: AgentOptions): Promise<number> {
  const { stateDirectory } = locate(options);
  await acceptTime(path.join(trustDirectory(stateDirectory), 'time-mark'));
  process.stderr.write(
    `✓ It is ${new Date().toISOString()} from now on, for orders and certificates.\n`,
  );
  process.stderr.write('Next: intervene-agent status\n');
  return 0;
}

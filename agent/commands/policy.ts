import { locate } from '../config.ts';
import type { AgentOptions } from '../config.ts';
import { actions } from '../../proto/actions/catalogue.ts';
import { matchesAction } from '../../proto/documents/fields.ts';
import type { Policy } from '../../proto/documents/kinds/policy.ts';
import { PolicyFile } from '../trust/policy.ts';
import { printJson, printLines } from './printing.ts';

/** A pattern that no action fits may be one of a newer agent, or a slip of the pen. */
function unknownIn({ allow, deny }: Policy): string[] {
  return [...allow, ...deny].filter(
    (pattern) => !actions.some(({ id }) => matchesAction(pattern, id)),
  );
}

/** 0 when the agent can use the policy, 1 when it refuses everything because of it. */
export async function policyCheckCommand(
  options: AgentOptions & { json?: boolean },
): Promise<number> {
  const { policyFile } = locate(options);
  const reading = new PolicyFile(policyFile).read();
  if (options.json === true) {
    printJson({ file: policyFile, ...reading });
  } else if (reading.usable) {
    const { policy, digest } = reading;
    const list = (patterns: readonly string[]) => patterns.join(', ') || 'nothing';
    const lines = [
      `✓ ${policyFile} is in force`,
      `  Digest               ${digest}`,
      `  Allowed              ${list(policy.allow)}`,
      `  Denied               ${list(policy.deny)}`,
      `  Highest class        ${policy['highest-class']}`,
      `  Engineers, class C   ${policy['engineers-for-class-c']}; ${policy['engineers-for-class-c-attested']} on an attestation`,
      `  Steps without undo   ${policy['allow-steps-without-undo'] ? 'allowed' : 'refused'}`,
    ];
    printLines([
      ...lines,
      ...unknownIn(policy).map((pattern) => `! ${pattern} fits no action that this agent knows`),
    ]);
  } else {
    printLines(
      [
        `✗ The policy cannot be used, so every order is refused: ${reading.why}`,
        reading.fault === 'content'
          ? '  Correct that entry; the file is read again for every order.'
          : '  It must be owned by root and writable by nobody else.',
      ],
      'stderr',
    );
  }
  return reading.usable ? 0 : 1;
}

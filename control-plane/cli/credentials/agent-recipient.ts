import { shell } from '../../../proto/documents/command-text.ts';
import { mediaType } from '../../../proto/documents/document.ts';
import type { AgentBody, ServerBody } from '../api/bodies.ts';
import { CliError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { glyph, styled } from '../output/terminal.ts';

/**
 * Where a secret for a server is sealed to. The control plane names it; so it must be the one that the person
 * states, as the server itself shows it, or the one that was used here before; else they are told whom they trust.
 */
export function agentRecipient(
  context: CommandContext,
  server: ServerBody,
  stated: string | undefined,
): AgentBody {
  const { terminal, profile } = context;
  const { agent } = server;
  if (agent === null) {
    throw refuse('no_agent', `${server.name} has no agent that could open it.`, server);
  }
  const isNewEnough =
    agent.documentTypes.length === 0 || agent.documentTypes.includes(mediaType('credential'));
  if (!isNewEnough) {
    const happened = `The agent on ${server.name} (${agent.version}) is too old to take what a client gives.`;
    throw refuse('agent_too_old', happened, server);
  }
  const pinned = profile.require().agentRecipients?.[server.id];
  const wanted = stated ?? pinned;
  if (wanted !== undefined && wanted !== agent.ageRecipient) {
    const whose = stated === undefined ? 'the one that was used before' : 'the one you named';
    throw new CliError({
      code: 'recipient_mismatch',
      happened: `The control plane names ${agent.ageRecipient} for ${server.name}, which is not ${whose}.`,
      safe: 'Nothing was sealed.',
      next: [
        {
          label: 'look on the server, at "Sealed to"',
          command: 'intervene-agent trust',
          byOther: true,
        },
        {
          label: 'if the server shows it too',
          command: shell`intervene credentials give ${server.name} --recipient ${agent.ageRecipient}`,
        },
      ],
      exitStatus: exitStatus.refused,
    });
  }
  if (wanted === undefined && !terminal.json) {
    terminal.say(
      glyph('warn', '!'),
      styled(
        'warn',
        `Sealed to ${agent.ageRecipient}, which the control plane names for ${server.name}.`,
      ),
    );
    terminal.say(
      'Compare it with "Sealed to" of intervene-agent trust on the server, or name it with --recipient.',
    );
  }
  return agent;
}

/** From now on another one is refused for this server, unless it is stated. */
export function rememberRecipient(context: CommandContext, agent: AgentBody): void {
  const { agentRecipients = {} } = context.profile.require();
  context.profile.update({
    agentRecipients: { ...agentRecipients, [agent.serverId]: agent.ageRecipient },
  });
}

function refuse(code: string, happened: string, server: ServerBody): CliError {
  return new CliError({
    code,
    happened,
    safe: 'Nothing was sealed.',
    next: [{ label: 'see it', command: shell`intervene servers show ${server.name}` }],
    exitStatus: exitStatus.refused,
  });
}

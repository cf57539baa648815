import { Command, CommanderError, Option } from 'commander';
import type { EnrollOptions } from './commands/enroll.ts';
import type { PruneOptions } from './commands/jobs.ts';
import type { AgentOptions } from './config.ts';
import { AGENT_VERSION } from './version.ts';

/**
 * The program `intervene-agent`. Each command loads only what it needs, so that `lock` and `status` answer
 * at once also on a machine in trouble.
 */
const EXIT_CODES = `
Exit status:
  0  done            1  failed           2  wrong usage
  3  refused: what answered is not what was pinned, or does not accept this agent
  5  the control plane cannot be reached, or no agent runs here`;

function createProgram(): Command {
  const program = new Command('intervene-agent')
    .description(
      'Carries out authorized repairs on this server. It dials out and listens on nothing.',
    )
    .version(AGENT_VERSION)
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', EXIT_CODES)
    .exitOverride();

  command(program, 'enroll', 'make this machine an agent', [
    'intervene-agent enroll --server-address cp.example.net:7401 --token-file token --ca sha256:… --root sha256:… --account-keys sha256:… --mode resident',
    'intervene-agent enroll --kernel-command-line --root sha256:… --account-keys sha256:… --mode rescue --yes',
  ])
    .option('--server-address <host:port>', 'where the control plane is reached')
    .option('--token-file <file>', 'file with the one-use token')
    .option('--token-stdin', 'read the one-use token from standard input')
    .option('--token <token>', 'the one-use token itself; it is of no use afterwards')
    .option('--ca <digest>', "SHA-256 of the control plane's CA key, as `intervene up` prints it")
    .requiredOption('--root <digest>', 'digest of the operator root')
    .requiredOption('--account-keys <digest>', "digest of the client's keys")
    .addOption(
      new Option('--mode <mode>', 'resident: on a running server; rescue: in a rescue environment')
        .choices(['resident', 'rescue'])
        .makeOptionMandatory(),
    )
    .option(
      '--kernel-command-line [file]',
      'take address, CA and token from intervene.* words of /proc/cmdline',
    )
    .option(
      '--allow <pattern>',
      'action, or pattern, that the local policy shall allow; may be repeated',
      (pattern: string, before: string[] | undefined) => [...(before ?? []), pattern],
    )
    .addOption(
      new Option(
        '--highest-class <class>',
        'highest class that the local policy shall allow',
      ).choices(['A', 'B', 'C']),
    )
    .option('--allow-no-undo', 'the local policy shall allow what cannot be taken back, too')
    .option('--replace', 'give a machine that is enrolled already a new identity')
    .option('--yes', 'do not ask')
    .action(async (options: EnrollOptions) => {
      const { enrollCommand } = await import('./commands/enroll.ts');
      process.exitCode = await enrollCommand(options);
    });

  command(program, 'run', 'connect and carry out jobs, in the foreground', [
    'intervene-agent run',
    'intervene-agent run --config ./agent.toml --state ./state --policy ./policy.toml',
  ]).action(async (options: AgentOptions) => {
    const { runCommand } = await import('./commands/run.ts');
    process.exitCode = await runCommand(options, {
      notifySocket: process.env['NOTIFY_SOCKET'],
      watchdogUsec: process.env['WATCHDOG_USEC'],
    });
  });

  command(program, 'status', 'how the agent is doing', [
    'intervene-agent status',
    'intervene-agent status --json',
  ])
    .option('--json', 'as JSON')
    .action(async (options: AgentOptions & { json?: boolean }) => {
      const { statusCommand } = await import('./commands/status.ts');
      process.exitCode = await statusCommand(options);
    });

  command(program, 'lock', 'stop every job at once and let none start; needs no network', [
    'intervene-agent lock',
    'intervene-agent lock --state /var/lib/intervene',
  ])
    .option('--until-stopped', 'only stop them: whether the server is locked stays as it is')
    .action(async (options: AgentOptions & { untilStopped?: boolean }) => {
      const { lockCommand } = await import('./commands/lock.ts');
      process.exitCode = await lockCommand(options);
    });

  command(program, 'unlock', 'let jobs start again', [
    'intervene-agent unlock',
    'intervene-agent unlock --state /var/lib/intervene',
  ]).action(async (options: AgentOptions) => {
    const { unlockCommand } = await import('./commands/lock.ts');
    process.exitCode = await unlockCommand(options);
  });

  const jobs = command(program, 'jobs', 'what jobs have left on this server, and its size', [
    'intervene-agent jobs',
    'intervene-agent jobs --json',
  ])
    .option('--json', 'as JSON')
    .action(async (options: AgentOptions & { json?: boolean }) => {
      const { jobsCommand } = await import('./commands/jobs.ts');
      process.exitCode = await jobsCommand(options);
    });
  command(jobs, 'prune', 'remove what ended jobs have left; asks before an undo is lost', [
    'intervene-agent jobs prune --older-than 90d --dry-run',
    'intervene-agent jobs prune 01940a3e-7c2b-7d1f-9a58-2f6b1c0d4e77',
  ])
    .argument('[job...]', 'only these, whatever their age')
    .option('--older-than <age>', 'only those that ended so long ago, such as 12h (default: 30d)')
    .option('--dry-run', 'only say what would be removed')
    .option('--yes', 'do not ask; what undo needs is removed, too')
    .action(async (names: string[], _options: PruneOptions, self: Command) => {
      const { pruneCommand } = await import('./commands/jobs.ts');
      process.exitCode = await pruneCommand(names, self.optsWithGlobals());
    });

  const trust = command(
    program,
    'trust',
    'whom this server trusts, and what it believes the time is',
    ['intervene-agent trust', 'intervene-agent trust accept-time'],
  )
    .option('--json', 'as JSON')
    .action(async (options: AgentOptions & { json?: boolean }) => {
      const { trustCommand } = await import('./commands/trust.ts');
      process.exitCode = await trustCommand(options);
    });
  command(trust, 'accept-time', 'believe the clock of this server from now on', [
    'intervene-agent trust accept-time',
    'intervene-agent trust accept-time --state /var/lib/intervene',
  ]).action(async (_options: AgentOptions, self: Command) => {
    const { acceptTimeCommand } = await import('./commands/trust.ts');
    process.exitCode = await acceptTimeCommand(self.optsWithGlobals());
  });

  const policy = program.command('policy').description('the local veto file');
  command(policy, 'check', 'read the policy as the agent does, and say what it allows', [
    'intervene-agent policy check',
    'intervene-agent policy check --policy ./policy.toml --json',
  ])
    .option('--json', 'as JSON')
    .action(async (options: AgentOptions & { json?: boolean }) => {
      const { policyCheckCommand } = await import('./commands/policy.ts');
      process.exitCode = await policyCheckCommand(options);
    });
  return program;
}

function command(parent: Command, name: string, what: string, examples: string[]): Command {
  return parent
    .command(name)
    .description(what)
    .option('--config <file>', 'configuration (default: /etc/intervene/agent.toml)')
    .option('--state <directory>', 'identity, trust and jobs (default: /var/lib/intervene)')
    .option('--policy <file>', 'local veto (default: /etc/intervene/policy.toml)')
    .addHelpText('after', `\nExamples:\n  ${examples.join('\n  ')}\n${EXIT_CODES}`)
    .exitOverride();
}

try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  if (!(error instanceof CommanderError)) {
    const { describeError } = await import('./commands/describe-error.ts');
    process.stderr.write(`✗ ${describeError(error)}\n`);
    process.exitCode = 1;
  } else {
    // Help and version end with 0; everything else is a mistake in the command line.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  }
}

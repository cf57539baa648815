import { NotApplicable, type ProbeContext } from '../probe.ts';

export const SSHD_CONFIG = '/etc/ssh/sshd_config';

/** What sshd says of its own configuration. */
export interface SshdAnswer {
  exitStatus: number;
  err: string;
  command: string;
  /** Empty when it refused. Names in lower case; a name may come several times. */
  settings: Map<string, string[]>;
}

const answers = new WeakMap<ProbeContext, Promise<SshdAnswer>>();

/** Asks sshd itself, once for all probes, how it would serve root. Throws NotApplicable where there is none. */
export function askSshd(context: ProbeContext): Promise<SshdAnswer> {
  const known = answers.get(context) ?? ask(context);
  answers.set(context, known);
  return known;
}

async function ask({ files, run }: ProbeContext): Promise<SshdAnswer> {
  const config = await files.locate(SSHD_CONFIG);
  const program = (await files.stat('/usr/sbin/sshd')) ?? (await files.stat('/usr/bin/sshd'));
  if (program === null && config === null) throw new NotApplicable('sshd is not installed');
  // By its full path: sshd refuses to be called otherwise.
  const argv = ['/usr/sbin/sshd', '-T', '-C', 'user=root,host=client.invalid,addr=192.0.2.1'];
  if (files.root !== '/' && config !== null) argv.push('-f', config);
  const done = await run(argv);
  const settings = parseSettings(done.exitStatus === 0 ? done.out : '');
  return { exitStatus: done.exitStatus!, err: done.err, command: argv.join(' '), settings };
}

/** What `sshd -T` prints; a name may come several times. */
export function parseSettings(text: string): Map<string, string[]> {
  const settings = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const at = line.indexOf(' ');
    if (at <= 0) continue;
    const name = line.slice(0, at);
    settings.set(name, [...(settings.get(name) ?? []), line.slice(at + 1)]);
  }
  return settings;
}

/** The ports sshd is set to listen on; 22 where that cannot be told. */
export async function sshPorts(context: ProbeContext): Promise<number[]> {
  const { settings } = await askSshd(context);
  const ports = (settings.get('port') ?? []).map(Number).filter((port) => port > 0);
  return ports.length > 0 ? ports : [22];
}

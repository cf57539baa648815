import type { TargetFiles } from '../../../target/target-files.ts';
import { fileEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, type Probe } from '../probe.ts';
import { administrators, readPeople } from './account-files.ts';

const SETTINGS = '/etc/security/faillock.conf';
const PAM = '/etc/pam.d';
const DEFAULT_FOLDER = '/var/run/faillock';
/** Bytes of one failure on record (struct tally of pam_faillock). */
const RECORD_BYTES = 64;
const DEFAULT_DENY = 3;

/** Whether somebody is locked out by failed log-ins that outlive a boot. */
export const faillock: Probe = {
  id: 'accounts.faillock',
  area: 'accounts',
  offline: true,
  limitMs: 2_000,
  async look(context) {
    const { files } = context;
    const settings = await readFaillock(files);
    if (settings === null) throw new NotApplicable('pam_faillock is not used here');
    const findings: NewFinding[] = [];
    for (const { name } of administrators(await readPeople(context))) {
      for (const folder of settings.folders) {
        const tally = await files.stat(`${folder}/${name}`);
        const failures = Math.floor((tally?.size ?? 0) / RECORD_BYTES);
        if (tally?.isFile() !== true || failures < settings.deny) continue;
        findings.push({
          rule: 'auth.faillock',
          severity: 'warning',
          subject: name,
          title: `${name} is locked out by ${failures} failed log-ins on record`,
          evidence: [fileEvidence(`${folder}/${name}`, null, `${failures} failures`)],
          suggestion: { action: 'access.repair-accounts', parameters: { user: name } },
          byHand: `faillock --dir ${folder} --user ${name} --reset`,
        });
      }
    }
    return { findings };
  },
};

/** Where pam_faillock(8) keeps its lists, and how many failures lock; null where nothing of it is set up. */
export async function readFaillock(
  files: TargetFiles,
): Promise<{ folders: string[]; deny: number } | null> {
  const settings = await files.read(SETTINGS).catch(() => null);
  const texts = settings === null ? [] : [settings];
  for (const name of await files.list(PAM)) {
    const text = (await files.read(`${PAM}/${name}`).catch(() => null)) ?? '';
    texts.push(...text.split('\n').filter((line) => line.includes('pam_faillock.so')));
  }
  if (texts.length === 0) return null;
  const said = (name: string, value: string) =>
    texts.flatMap((text) =>
      [
        ...text.matchAll(
          new RegExp(String.raw`^(?![ \t]*#).*?\b${name}[ \t]*=[ \t]*(${value})`, 'gm'),
        ),
      ].map(([, found]) => found!),
    );
  return {
    folders: [...new Set([DEFAULT_FOLDER, ...said('dir', String.raw`/[^\s\]]+`)])].slice(0, 8),
    deny: Number(said('deny', String.raw`[1-9]\d{0,3}`)[0] ?? DEFAULT_DENY),
  };
}

import { lostLibcFiles } from '../../packages/libc-files.ts';
import { fileEvidence } from '../finding.ts';
import { NotApplicable, type Probe } from '../probe.ts';

/** The files without which no program starts: the kernel then finds no init that works. */
export const programLoader: Probe = {
  id: 'packages.loader',
  area: 'packages',
  offline: true,
  limitMs: 1_000,
  async look({ files }) {
    if ((await files.stat('/var/lib/dpkg/info')) === null) {
      throw new NotApplicable('packages are not kept by dpkg');
    }
    const lost = await lostLibcFiles(files);
    return {
      findings: lost.map(({ path, package: name }) => ({
        rule: 'sys.no_loader',
        severity: 'critical' as const,
        subject: path,
        title: `${path} is gone: programs that need it do not start, and with the loader none does`,
        evidence: [fileEvidence(path, null, `missing or empty; it belongs to ${name}`)],
        suggestion: { action: 'packages.repair' as const, parameters: {} },
        byHand: `Put the file back from the archive of ${name}: dpkg-deb --fsys-tarfile.`,
      })),
    };
  },
};

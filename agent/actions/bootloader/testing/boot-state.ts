import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import type { FaultDisk, MountedSystem } from '../../../../test/lab/index.ts';

/** What is in /boot and in the boot sectors: content, mode, owner and extended attributes. */
export async function bootStateOf(disk: FaultDisk): Promise<string[]> {
  const head = (await disk.readBytes(0, 512)).toString('hex');
  const lines: string[] = [];
  const walk = (system: MountedSystem, path: string): void => {
    for (const name of readdirSync(system.path(path)).toSorted()) {
      const own = `${path}/${name}`;
      const { mode, uid, gid } = lstatSync(system.path(own));
      const content = (mode & 0o170000) === 0o100000 ? readFileSync(system.path(own)) : '';
      const hash = createHash('sha256').update(content).digest('hex');
      lines.push(`${own} ${mode.toString(8)} ${uid}:${gid} ${hash}`);
      if ((mode & 0o170000) === 0o040000) walk(system, own);
    }
  };
  const attributes = await disk.inside(async (system) => {
    walk(system, 'boot');
    return system.hostOk(['getfattr', '-R', '-h', '-d', '-m', '-', '--absolute-names', 'R/boot']);
  });
  const listed = attributes.replaceAll(/^# file: \/tmp\/[^/]+/gm, '# file: ');
  return [head, ...lines, ...listed.split('\n\n').toSorted()];
}

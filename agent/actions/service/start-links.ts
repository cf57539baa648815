import { posix } from 'node:path';
import type { TargetFiles } from '../../target/target-files.ts';
import type { Change } from '../files/change-steps.ts';

const OWN = '/etc/systemd/system';

/**
 * The links by which systemd starts a unit at boot, as its section Install says (systemctl(1), enable).
 *
 * @param service the unit's file
 * @param masks changes that take masks of the unit away: one may be in the place of a link
 */
export async function startLinks(
  files: TargetFiles,
  service: string,
  masks: readonly Change[] = [],
): Promise<Change[]> {
  const name = posix.basename(service);
  const { wantedBy, aliases } = parseInstall((await files.read(service)) ?? '');
  let changes = [...masks];
  for (const by of wantedBy.length > 0 ? wantedBy : ['multi-user.target']) {
    changes.push({ kind: 'link', path: `${OWN}/${by}.wants/${name}`, target: service });
  }
  for (const alias of aliases) {
    const path = `${OWN}/${alias}`;
    const isMask = changes.some((change) => change.path === path);
    changes = changes.filter((change) => change.path !== path);
    if (isMask || (await files.lstat(path)) === null) {
      changes.push({ kind: 'link', path, target: service });
    }
  }
  return changes;
}

function parseInstall(text: string): { wantedBy: string[]; aliases: string[] } {
  const install = /^\[Install\]$([\s\S]*?)(?=^\[|(?![\s\S]))/m.exec(text)?.[1] ?? '';
  const words = (key: string) =>
    [...install.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))]
      .flatMap(([, value]) => value!.trim().split(/\s+/))
      .filter((word) => /^[A-Za-z0-9][A-Za-z0-9:_.@-]{0,200}$/.test(word));
  return { wantedBy: words('WantedBy'), aliases: words('Alias') };
}

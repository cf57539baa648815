import type { MountedSystem } from '../mounted-system.ts';

/** Packs an installed package again, to where apt keeps what it has fetched; for the system's own shell. */
export function keepArchiveArgv(name: string): string[] {
  const script = `rm -rf /tmp/pack
    mkdir -p /tmp/pack/DEBIAN
    dpkg-query --listfiles "$1" | while read -r file; do
      [ ! -f "$file" ] || cp --archive --parents "$file" /tmp/pack
    done
    dpkg-query --status "$1" | grep -v '^Status:' >/tmp/pack/DEBIAN/control
    dpkg-deb --build /tmp/pack /var/cache/apt/archives`;
  return ['sh', '-euc', script, 'sh', name];
}

/** Puts the archive of an installed package where apt keeps what it has fetched. */
export const keepArchive = (system: MountedSystem, name: string) =>
  system.ok(keepArchiveArgv(name));

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { DomainError } from '../domain-error.ts';

export interface InstallerFile {
  /** Owned by the caller, who closes it. */
  handle: FileHandle;
  bytes: number;
  /** `sha256:<hex>` */
  digest: string;
}

/** What a server needs to become an agent's: installer and bundles, made by the build, read here. */
export interface InstallerFiles {
  /** Throws DomainError `installer_not_built` when the build has not made this file. */
  digest(name: string): Promise<string>;
  /** Null for anything that is not a file of the folder itself. */
  open(name: string): Promise<InstallerFile | null>;
}

/** Plain names only: no path leads out of the folder. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,99}$/;

export function createInstallerFiles(folder: string): InstallerFiles {
  const digests = new Map<string, { version: string; digest: string }>();

  async function digestOf(file: string, version: string): Promise<string> {
    const known = digests.get(file);
    if (known?.version === version) return known.digest;
    const hash = createHash('sha256');
    await pipeline(createReadStream(file), hash);
    const digest = `sha256:${hash.digest('hex')}`;
    digests.set(file, { version, digest });
    return digest;
  }

  async function openFile(name: string): Promise<InstallerFile | null> {
    if (!NAME.test(name)) return null;
    const file = path.join(folder, name);
    const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (handle === null) return null;
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) {
        await handle.close();
        return null;
      }
      const version = `${stat.ino}:${stat.size}:${stat.mtimeMs}`;
      return { handle, bytes: stat.size, digest: await digestOf(file, version) };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  return {
    open: openFile,
    digest: async (name) => {
      const file = await openFile(name);
      if (file === null) {
        throw new DomainError(
          'unavailable',
          'installer_not_built',
          `The installer (${name}) is not part of this installation yet.`,
          { next: [{ label: 'Build it on the control plane', command: 'npm run build' }] },
        );
      }
      await file.handle.close();
      return file.digest;
    },
  };
}

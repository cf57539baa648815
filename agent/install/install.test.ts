import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { beforeEach, afterEach, describe, expect, it } from 'vitest';
import {
  archive,
  archiveForXz,
  digestOf,
  documents,
  installer,
  Installation,
  sh,
  token,
} from './testing/installation.ts';

let place: Installation;
beforeEach(async () => {
  place = await Installation.create();
});
afterEach(() => place.close());

describe('install.sh', () => {
  it('installs, enrols, and says what the server will trust', async () => {
    const { status, said } = await place.install();
    expect(said).toContain('✓ Installed');
    expect(status).toBe(0);
    for (const shown of [place.farEnd.address, place.farEnd.pin, documents.rootDigest]) {
      expect(said).toContain(shown);
    }
    expect(said).toMatch(/Agent key +SHA256:/);
    expect(said).not.toContain(token);
    expect(place.tokens).toEqual([token]);
    expect(place.installed()).toEqual(
      expect.arrayContaining([
        'etc/intervene/agent.toml',
        'etc/intervene/policy.toml',
        'etc/systemd/system/intervene-agent.service',
        'usr/bin/intervene-agent',
        'usr/lib/intervene-agent/bin/intervene-agent',
        'var/lib/intervene/identity/agent.key',
        'var/lib/intervene/trust/pins.json',
      ]),
    );
    expect(statSync(place.at('var/lib/intervene')).mode & 0o777).toBe(0o700);
    expect(readlinkSync(place.at('usr/bin/intervene-agent'))).toBe(
      '/usr/lib/intervene-agent/bin/intervene-agent',
    );
  });

  it('writes a policy that only looks, unless told otherwise', async () => {
    await place.install();
    const policy = readFileSync(place.at('etc/intervene/policy.toml'), 'utf8');
    expect(policy).toContain('allow = ["*"]\nhighest-class = "A"\n');
    const check = await sh([
      place.at('usr/lib/intervene-agent/bin/intervene-agent'),
      'policy',
      'check',
      '--policy',
      place.at('etc/intervene/policy.toml'),
    ]);
    expect(check.status).toBe(0);
  });

  it('writes the policy it is told, and keeps one that is there', async () => {
    const allow = ['--allow', 'filesystem.*', '--allow', 'service.restart'];
    await place.install({ '--highest-class': 'B' }, [...allow, '--allow-no-undo', '--yes']);
    expect(readFileSync(place.at('etc/intervene/policy.toml'), 'utf8')).toMatch(
      /allow = \["filesystem.*", "service.restart"\]\nhighest-class = "B"\nallow-steps-without-undo = true\n$/,
    );
    await place.remove('--yes');
    mkdirSync(place.at('etc/intervene'), { recursive: true });
    writeFileSync(place.at('etc/intervene/policy.toml'), 'version = 1\n');
    const { said } = await place.install();
    expect(said).toContain('stays as it is');
    expect(readFileSync(place.at('etc/intervene/policy.toml'), 'utf8')).toBe('version = 1\n');
  });

  it('takes the token from standard input or a file', async () => {
    expect(
      (await place.install({ '--token': null }, ['--token-stdin', '--yes'], token)).status,
    ).toBe(0);
    await place.remove('--yes');
    const file = path.join(place.folder, 'token');
    writeFileSync(file, `${token}\n`);
    expect((await place.install({ '--token': null, '--token-file': file })).status).toBe(0);
    expect(place.tokens).toEqual([token, token]);
  });

  it('refuses an archive with one other bit, and leaves nothing', async () => {
    place.served = Buffer.from(archive);
    place.served[place.served.length - 3]! ^= 1;
    const { status, said } = await place.install();
    expect(status).toBe(1);
    expect(said).toContain('not the one that was promised');
    expect(said).toContain('Nothing was left behind');
    expect(place.installed()).toEqual([]);
    expect(place.tokens).toEqual([]);
  });

  it('refuses an archive other than the one the installer was made for', async () => {
    const stamped = path.join(place.folder, 'install.sh');
    const own = readFileSync(installer, 'utf8');
    const digests = { gz: digestOf(archive), xz: digestOf(archiveForXz) };
    const stamps = Object.entries(digests).map(
      ([name, digest]) => `${process.arch}.${name}=${digest}`,
    );
    const bundles = `bundles='${stamps.join(' ')}'`;
    writeFileSync(stamped, own.replace("bundles=''", bundles));
    const options = Object.entries({
      ...place.usual,
      '--bundle-digest': `sha256:${'0'.repeat(64)}`,
    });
    const refused = await sh([stamped, ...options.flat(), '--yes']);
    expect(refused.said).toContain('not the one this installer was made for');
    const without = options.filter(([name]) => name !== '--bundle-digest');
    place.served = Buffer.from('other bytes');
    expect((await sh([stamped, ...without.flat(), '--yes'])).said).toContain(
      'not the one that was',
    );
    place.served = archive;
    expect((await sh([stamped, ...without.flat(), '--yes'])).status).toBe(0);
  });

  it('is refused itself by its install line when one byte was changed', async () => {
    const tampered = path.join(place.folder, 'install.sh');
    const own = readFileSync(installer);
    writeFileSync(tampered, Buffer.concat([own, Buffer.from('\ntouch /tmp/owned\n')]));
    const line = `echo "${digestOf(own).slice(7)}  ${tampered}" | sha256sum -c --quiet - && sh ${tampered} --yes`;
    const { status, said } = await sh(['-c', line]);
    expect(status).not.toBe(0);
    expect(said).toContain('FAILED');
    expect(said).not.toContain('✗');
  });

  it.each([
    ['another CA key', { '--ca': `sha256:${'0'.repeat(64)}` }, 0],
    ['another operator root', { '--root': `sha256:${'0'.repeat(64)}` }, 1],
    ['other account keys', { '--account-keys': `sha256:${'0'.repeat(64)}` }, 1],
    ['no control plane', { '--control-plane': '127.0.0.1:1' }, 0],
  ])('leaves nothing when the server is enrolled with %s', async (_name, changes, calls) => {
    const { status, said } = await place.install(changes);
    expect(status).toBe(1);
    expect(said).toContain('could not be enrolled');
    expect(place.tokens).toHaveLength(calls);
    expect(place.installed()).toEqual([]);
  });

  it('leaves nothing when the archive cannot be fetched', async () => {
    place.served = null;
    const { status, said } = await place.install();
    expect([status, said]).toEqual([1, expect.stringContaining('could not be fetched')]);
    expect(place.installed()).toEqual([]);
  });

  it('does nothing where nobody can be asked', async () => {
    const { status, said } = await place.install({}, []);
    expect(status).toBe(1);
    expect(said).toContain('Nobody can be asked');
    expect(place.installed()).toEqual([]);
    expect(place.tokens).toEqual([]);
  });

  it('does not install a second time over the first', async () => {
    await place.install();
    const before = place.installed();
    const { status, said } = await place.install();
    expect(status).toBe(1);
    expect(said).toContain('installed here already');
    expect(place.installed()).toEqual(before);
    expect(place.tokens).toHaveLength(1);
  });

  it('leaves alone what came as a package', async () => {
    const id = place.at('usr/lib/intervene-agent/dist/id');
    mkdirSync(path.dirname(id), { recursive: true });
    writeFileSync(id, '0.1.0\n');
    for (const { status, said } of [await place.install(), await place.remove('--yes')]) {
      expect([status, said]).toEqual([1, expect.stringContaining('came here as a package')]);
    }
    expect(place.installed()).toEqual(['usr/lib/intervene-agent/dist/id']);
    expect(place.tokens).toEqual([]);
  });

  it('prints how it is used', async () => {
    const { status, said } = await sh([installer, '--help']);
    expect(status).toBe(0);
    expect(said).toContain('--account-keys DIGEST');
    expect(said).toContain('install.sh remove');
  });
});

describe('install.sh remove', () => {
  it('removes everything, says what, and warns of backups', async () => {
    await place.install();
    mkdirSync(place.at('var/lib/intervene/backups/job'), { recursive: true });
    const { status, said } = await place.remove('--yes');
    expect(status).toBe(0);
    expect(place.installed()).toEqual([]);
    for (const name of [
      'usr/lib/intervene-agent',
      'usr/bin/intervene-agent',
      'etc/intervene',
      'var/lib/intervene',
      'etc/systemd/system/intervene-agent.service',
    ]) {
      expect(said).toContain(`removed ${place.at(name)}`);
      expect(existsSync(place.at(name))).toBe(false);
    }
    expect(said).toContain('cannot be undone');
  });

  it('asks first', async () => {
    await place.install();
    const { status, said } = await place.remove();
    expect([status, said]).toEqual([1, expect.stringContaining('Nobody can be asked')]);
    expect(place.installed()).not.toEqual([]);
  });

  it('says when there is nothing', async () => {
    const { status, said } = await place.remove('--yes');
    expect([status, said]).toEqual([1, expect.stringContaining('No agent is installed')]);
  });
});

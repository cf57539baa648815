import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seenBy } from '../diagnostics/testing/probe-fixture.ts';
import { TwoNetworks } from '../diagnostics/testing/two-networks.ts';
import { JobsInNetwork } from '../guarded/testing/jobs-in-network.ts';

const PORT = 2222;
const ACTION = 'firewall.recover';
const BRIEF = { confirmWithinSeconds: 20 };
/** It is never installed for tests: where a package starts it, it would shut the machine itself. */
const HAS_FIREWALLD = existsSync('/usr/sbin/firewalld');
const ZONE = '<zone>\n  <service name="http"/>\n</zone>\n';
const OPEN = '<zone>\n  <service name="http"/>\n  <port port="2222" protocol="tcp"/>\n</zone>\n';
/** $1: the folder that is /run/dbus; $2: the folder that is /etc. */
const START = `
  mount --bind "$1" /run/dbus
  mount --bind "$2" /etc
  dbus-daemon --system --nofork --nopidfile &
  until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done
  exec firewalld --nofork --nopid
`;

describe.runIf(HAS_FIREWALLD && process.env.INTERVENE_TEST_ALL === '1')(
  'a firewalld that runs and keeps SSH out',
  { timeout: 120_000 },
  () => {
    let networks: TwoNetworks;
    let server: JobsInNetwork;
    let firewalld: ChildProcess;
    let bus: string;
    let inside: readonly string[];
    beforeEach(async () => {
      bus = mkdtempSync(join(tmpdir(), 'ivbus-'));
      networks = await TwoNetworks.create(PORT);
      const around = ['unshare', '--mount', '--propagation', 'private', 'sh', '-ec'];
      const withBus = ['mount --bind "$0" /run/dbus; exec "$@"', bus];
      mkdirSync('/run/dbus', { recursive: true });
      inside = [...networks.inItsNetwork, ...around, ...withBus];
      server = new JobsInNetwork(inside);
      server.write('/etc/ssh/sshd_config', `Port ${PORT}\n`);
      server.write('/etc/firewalld/zones/public.xml', ZONE);
      server.enable('firewalld.service');
      const [program, ...words] = [...networks.inItsNetwork, ...around, START, 'sh'];
      firewalld = spawn(program, [...words, bus, server.etc], { stdio: 'ignore', detached: true });
      while ((await ask('--state')).trim() !== 'running') await sleep(100);
      await server.startAgent();
    });
    afterEach(async () => {
      await server.close();
      if (firewalld.pid !== undefined) process.kill(-firewalld.pid, 'SIGKILL');
      networks.close();
      rmSync(bus, { recursive: true, force: true });
    });

    const ask = async (...words: string[]) =>
      (await seenBy([...inside, 'firewall-cmd', ...words])).out;

    it('lets it in by its own command and its own file; undo shuts it out again', async () => {
      expect(await networks.connects(false)).toBe(false);
      const { plan, bytes } = await server.plan(ACTION, BRIEF);
      const opening = plan.steps.find(({ id }) => id === 'open');
      expect(opening?.changes).toEqual([
        { type: 'command', argv: ['firewall-cmd', '--zone=public', '--add-port=2222/tcp'] },
      ]);
      const job = server.start(ACTION, { parameters: BRIEF, plan: bytes.toString('base64') });
      const guard = await server.changed(job);
      expect(await networks.connects(true)).toBe(true);
      await guard.markReached();
      await guard.decide('kept');
      expect(await server.end(job)).toMatchObject({ outcome: 'succeeded' });
      expect(server.read('/etc/firewalld/zones/public.xml')).toBe(OPEN);
      expect((await server.plan(ACTION, BRIEF)).plan.steps).toEqual([]);
      await ask('--reload');
      expect(await networks.connects(true)).toBe(true);
      expect(await server.undo(ACTION, BRIEF, job)).toMatchObject({ outcome: 'succeeded' });
      expect(await networks.connects(false)).toBe(false);
      expect(server.read('/etc/firewalld/zones/public.xml')).toBe(ZONE);
    });
  },
);

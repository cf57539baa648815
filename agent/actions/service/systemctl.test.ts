import { describe, expect, it } from 'vitest';
import { parseShow } from './systemctl.ts';
import { parseSystemdTime, parseTimeSpan } from './time-span.ts';
import { unitOf } from './unit.ts';

/** As systemd 252 prints it. */
const NGINX = `Type=forking
TimeoutStartUSec=1min 30s
TimeoutStopUSec=5s
MainPID=48
NRestarts=0
Result=success
ExecMainCode=0
ExecMainStatus=0
ExecStart={ path=/usr/sbin/nginx ; argv[]=/usr/sbin/nginx -g daemon on; master_process on; -c /srv/n.conf ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
MemoryCurrent=[not set]
Id=nginx.service
Names=nginx.service web.service
Requires=system.slice sysinit.target
RequiredBy=shop.service
ConsistsOf=till.service
PropagatesStopTo=lamp.service
Description=A web server: a=b
LoadState=loaded
ActiveState=active
SubState=running
FragmentPath=/lib/systemd/system/nginx.service
DropInPaths=/etc/systemd/system/nginx.service.d/a.conf /etc/systemd/system/nginx.service.d/b.conf
UnitFileState=enabled
StateChangeTimestamp=Mon 2026-11-23 08:50:06 UTC
NeedDaemonReload=yes`;

const MISSING = `Id=no.service
Names=no.service
LoadState=not-found
ActiveState=inactive
LoadError=org.freedesktop.systemd1.NoSuchUnit "Unit no.service not found."
MemoryCurrent=18446744073709551615
TimeoutStopUSec=infinity`;

describe('what systemctl show prints', () => {
  it('is one block for each unit, also for one that is not there', () => {
    const [nginx, missing] = parseShow(`${NGINX}\n\n${MISSING}\n`, 2).map(unitOf);
    expect(nginx).toMatchObject({
      id: 'nginx.service',
      names: ['nginx.service', 'web.service'],
      description: 'A web server: a=b',
      program: '/usr/sbin/nginx',
      programWords: '/usr/sbin/nginx -g daemon on; master_process on; -c /srv/n.conf',
      startLimitMs: 90_000,
      stopLimitMs: 5000,
      restartsWithIt: ['shop.service', 'till.service'],
      stopsWithIt: ['lamp.service'],
      needsReload: true,
      exit: '',
    });
    expect(nginx?.dropIns).toHaveLength(2);
    expect(nginx?.standing).toEqual({
      load: 'loaded',
      active: 'active',
      sub: 'running',
      result: 'success',
      enablement: 'enabled',
      mainPid: 48,
      restarts: 0,
      memoryBytes: null,
      since: '2026-11-23T08:50:06Z',
    });
    expect(missing).toMatchObject({
      loadError: 'Unit no.service not found.',
      stopLimitMs: null,
      program: null,
      standing: { load: 'not-found', mainPid: null, memoryBytes: null, since: null },
    });
  });

  it('may be less than was asked for', () => {
    const [one, two] = parseShow('', 2).map(unitOf);
    expect([one?.id, two?.id]).toEqual(['', '']);
  });
});

it.each([
  ['1', '3', 'it exited with status 3'],
  ['2', '9', 'signal 9 killed it'],
  ['3', '11', 'signal 11 killed it, and it left a core dump'],
  ['1', '0', ''],
  ['0', '0', ''],
])('a process that ended with code %s and status %s', (code, status, text) => {
  const show = `ExecMainCode=${code}\nExecMainStatus=${status}`;
  expect(unitOf(parseShow(show, 1)[0]!).exit).toBe(text);
});

it.each([
  ['5s', 5000],
  ['1min 30s', 90_000],
  ['1h 2min 3s 4ms', 3_723_004],
  ['100ms', 100],
  ['500us', 1],
  ['1d', 86_400_000],
  ['0', 0],
  ['infinity', null],
  ['', null],
  ['5 apples', null],
])('a time span %j is %j ms', (text, ms) => {
  expect(parseTimeSpan(text)).toBe(ms);
});

it.each([
  ['Mon 2026-11-23 08:50:06 UTC', '2026-11-23T08:50:06Z'],
  ['', null],
  ['n/a', null],
])('a time %j is %j', (text, time) => {
  expect(parseSystemdTime(text)).toBe(time);
});

import { describe, expect, it } from 'vitest';
import { agentService } from '../../proto/wire.ts';
import type { AgentIdentity } from '../agents/agent-store.ts';
import { listedMethods, refusalOf, requirementOf } from './access.ts';
import type { AuthenticatedAgent, Peer } from './peers.ts';

const HOUR = 3600_000;
const now = Date.parse('2026-11-23T12:00:00Z');

const identity: AgentIdentity = {
  agentId: 'a',
  serverId: 's',
  accountId: 'c',
  mode: 'resident',
  key: { type: 'ed25519', public: '' },
  keyFingerprint: '',
  serial: '03',
  previousSerial: '02',
  certificateExpiresAt: new Date(now + HOUR),
  certificateUsed: true,
  quarantined: false,
  replaced: false,
  revoked: false,
};

function peer(
  changes: Partial<AuthenticatedAgent> & { serial?: string; validUntil?: number } = {},
) {
  const { serial = '03', validUntil = now + HOUR, ...agent } = changes;
  const certificate = {
    agentId: 'a',
    serial,
    notBefore: new Date(now - HOUR),
    expiresAt: new Date(validUntil),
  };
  const found: Peer = {
    id: '1',
    address: '192.0.2.1:1',
    validUntil,
    agent: { certificate, identity, denied: null, ...agent },
  };
  return found;
}
const stranger: Peer = { id: '1', address: '192.0.2.1:1', validUntil: 0, agent: null };

describe('access to methods', () => {
  it('has a row for every method, and no other row', () => {
    const methods = Object.values(agentService).map((method) => method.path);
    expect([...listedMethods].sort()).toEqual(methods.sort());
  });

  it('lets nobody call a method without a row', () => {
    for (const method of ['/intervene.v1.AgentService/Other', 'toString', '__proto__', '']) {
      expect(requirementOf(method)).toBe('never');
      expect(refusalOf(requirementOf(method), peer(), now)).toBe('method_not_allowed');
    }
  });

  it('lets a peer without certificate enrol and nothing else', () => {
    const allowed = listedMethods.filter(
      (method) => refusalOf(requirementOf(method), stranger, now) === null,
    );
    expect(allowed).toEqual(['/intervene.v1.AgentService/Enroll']);
  });

  it('lets an ended certificate be renewed and nothing else', () => {
    const ended = peer({ validUntil: now - 1 });
    expect(refusalOf('renewable', ended, now)).toBeNull();
    expect(refusalOf('current', ended, now)).toBe('certificate_expired');
  });

  it('takes the newest certificate and the one before it, no older one', () => {
    expect(refusalOf('current', peer(), now)).toBeNull();
    expect(refusalOf('current', peer({ serial: '02' }), now)).toBeNull();
    expect(refusalOf('current', peer({ serial: '01' }), now)).toBe('certificate_superseded');
  });

  it('lets an agent that is no longer accepted call nothing that needs a certificate', () => {
    const denied = peer({ denied: 'agent_quarantined' });
    expect(refusalOf('current', denied, now)).toBe('agent_quarantined');
    expect(refusalOf('renewable', denied, now)).toBe('agent_quarantined');
  });
});

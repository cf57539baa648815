import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from './config.ts';
import type { UpOptions } from './config.ts';

const read = (flags: UpOptions = {}, environment: Record<string, string> = {}) =>
  readConfig(flags, environment, '/srv');

describe('settings', () => {
  it('have defaults that keep tokens on this machine and let agents in', () => {
    expect(read()).toEqual({
      dataDirectory: '/srv/intervene-data',
      databaseUrl: null,
      http: { host: '127.0.0.1', port: 7400, tls: null, publicUrl: null },
      agents: { host: '0.0.0.0', port: 7401, address: null },
      logFile: null,
      logLevel: 'info',
      stopGraceMs: 10_000,
    });
  });

  it('come from a flag, then the environment, then the default', () => {
    const environment = {
      INTERVENE_LISTEN: '127.0.0.1:1',
      INTERVENE_DATA: 'env',
      INTERVENE_LOG_LEVEL: '',
    };
    const config = read({ data: '/flag' }, environment);
    expect(config.dataDirectory).toBe('/flag');
    expect(config.http.port).toBe(1);
    expect(config.logLevel).toBe('info');
    expect(read({}, environment).dataDirectory).toBe('/srv/env');
  });

  it('that would send tokens over the network in the clear are refused', () => {
    for (const listen of ['0.0.0.0:7400', '[::]:7400', '192.0.2.1:7400', 'cp.example.net:7400']) {
      expect(() => read({ listen })).toThrow(/in the clear/);
      const tls = { tlsCert: 'c.pem', tlsKey: '/k.pem' };
      expect(read({ listen, ...tls }).http.tls).toEqual({
        certFile: '/srv/c.pem',
        keyFile: '/k.pem',
      });
    }
    for (const listen of ['127.0.0.1:0', '127.9.9.9:80', '[::1]:7400', 'localhost:7400']) {
      expect(read({ listen }).http.tls).toBeNull();
    }
    expect(() => read({ tlsCert: 'c.pem' })).toThrow(/belong together/);
  });

  it('that cannot be meant are refused by name', () => {
    const wrong: UpOptions[] = [
      { listen: '7400' },
      { listen: '127.0.0.1:70000' },
      { listen: '127.0.0.1:x' },
      { agentListen: '::1:7401' },
      { agentListen: '[127.0.0.1]:7401' },
      { agentAddress: 'cp.example.net' },
      { publicUrl: 'cp.example.net' },
      { publicUrl: 'https://cp.example.net/?a=b' },
      { databaseUrl: 'mysql://x/y' },
      { databaseUrl: 'not a url' },
      { logLevel: 'loud' },
      { stopGrace: '-1' },
      { stopGrace: 'soon' },
    ];
    for (const flags of wrong) {
      const name = Object.keys(flags)[0]!.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      expect(() => read(flags)).toThrow(ConfigError);
      expect(() => read(flags)).toThrow(`--${name}`);
    }
  });

  it('with a password are taken from the environment, never from an argument', () => {
    const url = 'postgres://user:secret@db.example.net/intervene';
    expect(() => read({ databaseUrl: url })).toThrow(/can read arguments/);
    expect(() => read({ databaseUrl: url })).not.toThrow(/secret/);
    expect(read({}, { INTERVENE_DATABASE_URL: url }).databaseUrl).toBe(url);
    const without = 'postgresql://user@db.example.net/intervene?host=/run/postgresql';
    expect(read({ databaseUrl: without }).databaseUrl).toBe(without);
  });

  it('of the public address lose the slash at the end', () => {
    expect(read({ publicUrl: 'https://cp.example.net/iv/' }).http.publicUrl).toBe(
      'https://cp.example.net/iv',
    );
  });
});

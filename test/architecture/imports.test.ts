import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const IMPORT = /(?:\bfrom\s+|\bimport\s*\(?\s*)['"]([^'"]+)['"]/g;

interface Import {
  from: string;
  to: string;
}

function importsOf(pattern: string): Import[] {
  return globSync(pattern, { cwd: root }).flatMap((from) =>
    [...readFileSync(path.join(root, from), 'utf8').matchAll(IMPORT)]
      .map((match) => match[1]!)
      .filter((target) => target.startsWith('.'))
      .map((target) => ({ from, to: path.normalize(path.join(path.dirname(from), target)) })),
  );
}

const violations = (imports: Import[], forbidden: (entry: Import) => boolean) =>
  imports.filter(forbidden).map((entry) => `${entry.from} imports ${entry.to}`);

/** Tests, and what only tests use: it lies in folders named `testing`. */
const isTest = (file: string) => file.endsWith('.test.ts') || file.split('/').includes('testing');

const domains = [
  'accounts',
  'servers',
  'agents',
  'authorizations',
  'interventions',
  'jobs',
  'logs',
  'audit',
];

describe('imports', () => {
  it('finds the sources it judges', () => {
    expect(importsOf('agent/**/*.ts').length).toBeGreaterThan(50);
    expect(importsOf('control-plane/**/*.ts').length).toBeGreaterThan(50);
  });

  it('the agent never imports the control plane', () => {
    const found = violations(importsOf('agent/**/*.ts'), ({ to }) =>
      to.startsWith('control-plane/'),
    );
    expect(found).toEqual([]);
  });

  it('the control plane never imports the agent', () => {
    const found = violations(importsOf('control-plane/**/*.ts'), ({ to }) =>
      to.startsWith('agent/'),
    );
    expect(found).toEqual([]);
  });

  it('what both share imports neither', () => {
    const found = violations(importsOf('proto/**/*.ts'), ({ from, to }) =>
      from.endsWith('.test.ts') ? false : !to.startsWith('proto/'),
    );
    expect(found).toEqual([]);
  });

  it('domains never import the gRPC edge, and only their routes import the HTTP edge', () => {
    const sources = importsOf(`control-plane/{${domains.join(',')}}/**/*.ts`).filter(
      ({ from }) => !from.endsWith('.test.ts'),
    );
    const found = violations(
      sources,
      ({ from, to }) =>
        to.startsWith('control-plane/grpc/') ||
        (to.startsWith('control-plane/http/') && !from.endsWith('routes.ts')),
    );
    expect(found).toEqual([]);
  });

  it('nothing but tests imports from test/', () => {
    const found = violations(
      importsOf('{agent,control-plane,proto}/**/*.ts'),
      ({ from, to }) => to.startsWith('test/') && !isTest(from),
    );
    expect(found).toEqual([]);
  });

  it('nothing but tests imports from a folder named testing, or a test', () => {
    const found = violations(
      importsOf('{agent,control-plane,proto}/**/*.ts'),
      ({ from, to }) => isTest(to) && !isTest(from),
    );
    expect(found).toEqual([]);
  });
});

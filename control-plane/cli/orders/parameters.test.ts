import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { accessRestoreSsh } from '../../../proto/actions/access.ts';
import { commandRun } from '../../../proto/actions/command.ts';
import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { filesystemRepair } from '../../../proto/actions/filesystem.ts';
import { serviceConfigure, serviceRestart } from '../../../proto/actions/service.ts';
import { neededWords, parseParameters } from './parameters.ts';

const usage = (text: RegExp) =>
  expect.objectContaining({ exitStatus: 2, message: expect.stringMatching(text) });

describe('parameters on the command line', () => {
  it('are text where the action takes text', () => {
    expect(parseParameters(filesystemRepair, ['device=/dev/sda2', 'backupDirectory=/a=b'])).toEqual(
      {
        device: '/dev/sda2',
        backupDirectory: '/a=b',
      },
    );
  });

  it('are text where it takes one of several forms of text', () => {
    const unit = { unit: 'nginx.service', enabled: true };
    expect(parseParameters(serviceConfigure, ['unit=nginx.service', 'enabled=true'])).toEqual(unit);
    const from = { from: '2001:db8::7', passwords: false };
    expect(parseParameters(accessRestoreSsh, ['from=2001:db8::7'])).toEqual(from);
  });

  it('are JSON where it takes anything else', () => {
    expect(parseParameters(commandRun, ['argv=["ls","-l"]'])).toEqual({ argv: ['ls', '-l'] });
    const action: ActionDeclaration = {
      ...filesystemRepair,
      parameters: z.strictObject({
        count: z.int().default(1),
        on: z.boolean().optional(),
        mode: z.enum(['a', 'b']),
      }),
    };
    expect(parseParameters(action, ['count=3', 'on=true', 'mode=b'])).toEqual({
      count: 3,
      on: true,
      mode: 'b',
    });
    expect(() => parseParameters(action, ['mode=a', 'count=many'])).toThrow(
      usage(/count wants JSON, such as 1/),
    );
  });

  it('words after -- are the argv of command.run, and of nothing else', () => {
    expect(parseParameters(commandRun, ['directory=/tmp'], ['sh', '-c', 'echo "$HOME"'])).toEqual({
      directory: '/tmp',
      argv: ['sh', '-c', 'echo "$HOME"'],
    });
    expect(() => parseParameters(filesystemRepair, [], ['/dev/sda'])).toThrow(
      usage(/takes no words/),
    );
    expect(() => parseParameters(commandRun, ['argv=["a"]'], ['b'])).toThrow(
      usage(/argv is given twice/),
    );
    expect(() => parseParameters(commandRun, [])).toThrow(usage(/after --/));
  });

  it('that are unknown, doubled, malformed or wrong are refused with a hint', () => {
    expect(() => parseParameters(filesystemRepair, ['devise=/dev/sda'])).toThrow(
      usage(/did you mean device\?/),
    );
    expect(() => parseParameters(filesystemRepair, ['device=/a', 'device=/b'])).toThrow(
      usage(/twice/),
    );
    expect(() => parseParameters(filesystemRepair, ['device'])).toThrow(usage(/name=value/));
    expect(() => parseParameters(filesystemRepair, ['device=sda'])).toThrow(
      expect.objectContaining({ message: 'device must be an absolute path.' }),
    );
    expect(() => parseParameters(filesystemRepair, ['__proto__=x'])).toThrow(usage(/no parameter/));
    expect(() => parseParameters(commandRun, ['argv={"a":1,"a":2}'])).toThrow(usage(/wants JSON/));
  });
});

it('that are needed are told as words to be replaced', () => {
  expect(neededWords(serviceRestart)).toEqual(['--param', 'unit=UNIT']);
  expect(neededWords(commandRun)).toEqual(['--', 'COMMAND']);
  expect(neededWords(accessRestoreSsh)).toEqual([]);
});

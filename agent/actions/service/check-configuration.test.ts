import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ActionContext } from '../../runner/action.ts';
import { ActionFixture } from '../filesystem/testing/action-fixture.ts';
import { foreseeConfiguration } from './check-configuration.ts';
import { restoreConfiguration } from './restore-configuration.ts';

const READ_ONLY = ['bwrap', '--ro-bind', '/', '/'];

describe('a plan that has a running service check its configuration', () => {
  let fixture: ActionFixture;
  let context: ActionContext;
  const commands: (readonly string[])[] = [];
  beforeEach(async () => {
    fixture = await ActionFixture.create();
    const bare = await fixture.bareContext();
    const parameters = { unit: 'ssh.service', file: '/etc/ssh/sshd_config' };
    commands.length = 0;
    context = {
      ...bare,
      spec: { ...bare.spec, action: 'service.restore-configuration', mode: 'plan', parameters },
      run(argv, options) {
        commands.push(argv);
        return bare.run(argv, options);
      },
    };
  });
  afterEach(() => fixture.close());

  it('gives it no place to write to', async () => {
    await foreseeConfiguration(context, { id: 'ssh.service', programWords: '' });
    await restoreConfiguration.plan!(context).catch(() => null);
    expect(commands.map((argv) => argv.slice(0, 4))).toEqual([READ_ONLY, READ_ONLY]);
  });

  it('says that nobody can where the check is not installed', async () => {
    const unit = { id: 'isc-dhcp-server.service', programWords: '' };
    expect(await foreseeConfiguration(context, unit)).toBeNull();
  });
});

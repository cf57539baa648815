import { describe, it } from 'vitest';
import { isWhole } from '../../../../test/fixtures/matrix.ts';
import { expectRepairedAndUndone, useAccountsDisk } from '../testing/accounts-disk.ts';

useAccountsDisk();

describe('labels of SELinux that files lack', () => {
  const CONTEXTS = 'etc/selinux/targeted/contexts/files';
  const script = `mkdir -p ${CONTEXTS}
    printf 'SELINUX=enforcing\\nSELINUXTYPE=targeted\\n' > etc/selinux/config
    printf '/etc/.*\\tsystem_u:object_r:etc_t:s0\\n/etc/[^/]*shadow[^/]*\\t--\\tsystem_u:object_r:shadow_t:s0\\n' > ${CONTEXTS}/file_contexts
    for file in passwd group fstab; do
      [ ! -e etc/$file ] || setfattr -n security.selinux -v system_u:object_r:etc_t:s0 etc/$file
    done
    setfattr -n security.selinux -v system_u:object_r:etc_t:s0 etc
    setfattr -x security.selinux etc/shadow`;

  it('are given as the policy has them', () =>
    expectRepairedAndUndone({
      script,
      steps: ['labels'],
      look: 'getfattr --only-values -n security.selinux etc/shadow',
      expected: /^system_u:object_r:shadow_t:s0$/,
    }));

  it.runIf(isWhole)('come with what is written anew for another reason', () =>
    expectRepairedAndUndone({
      script: `${script}
        sed -i '1s/.*/root:broken/' etc/shadow`,
      steps: ['database'],
      look: 'getfattr --only-values -n security.selinux etc/shadow',
      expected: /^system_u:object_r:shadow_t:s0$/,
    }),
  );

  it.runIf(isWhole)('are given by the next boot where nobody here knows the policy', () =>
    expectRepairedAndUndone({
      script: `${script}
        rm ${CONTEXTS}/file_contexts`,
      steps: ['labels'],
      look: 'stat -c "%n %s" .autorelabel',
      expected: /^\.autorelabel 0\n$/,
    }),
  );
});

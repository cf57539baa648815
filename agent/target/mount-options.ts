import type { FstabEntry } from './fstab-lines.ts';
import { nearestWord } from './nearest-word.ts';

/**
 * What mount(8) and the file systems of `KERNELS_OWN` know, in every release that may be met. A name too many
 * leaves a fault unseen; one too few would have a sound line changed.
 */
const KNOWN = new Set(
  [
    // mount(8), for any file system
    'async atime auto bind context defaults defcontext dev diratime dirsync exec fscontext group helper',
    'iversion lazytime loop loud mand move _netdev noatime noauto nodev nodiratime noexec nofail nogroup',
    'noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow nouser nousers offset owner',
    'noowner private rbind relatime remount ro rootcontext rprivate rshared rslave runbindable rw seclabel',
    'shared silent sizelimit slave smackfsdef smackfsdefault smackfsfloor smackfshat smackfsroot',
    'smackfstransmute strictatime suid symfollow sync uhelper unbindable user users comment',
    'verity.fecdevice verity.fecoffset verity.fecroots verity.hashdevice verity.hashoffset verity.oncorruption',
    '_rnetdev encryption hotplug kudzu managed',
    'verity.roothash verity.roothashfile verity.roothashsig',
    // mountall(8)
    'bootwait nobootwait optional showthrough timeout',
    // ext4(5)
    'abort acl auto_da_alloc barrier bh block_validity bsddf bsdgroups check commit data data_err dax debug',
    'debug_want_extra_isize delalloc dioread_lock dioread_nolock discard errors extents fc_debug_force',
    'fc_debug_max_replay grpid grpjquota grpquota i_version init_itable inlinecrypt inode_readahead_blks',
    'journal journal_async_commit journal_checksum journal_dev journal_ioprio journal_path jqfmt',
    'max_batch_time max_dir_size_kb mb_optimize_scan mblk_io_submit min_batch_time minixdf no_mbcache',
    'no_prefetch_block_bitmaps noacl noauto_da_alloc nobarrier nobh noblock_validity nocheck nodelalloc',
    'nodiscard nodioread_nolock noextents nogrpid noinit_itable nojournal_checksum noload nombcache',
    'nomblk_io_submit norecovery noreservation noquota nouid32 nouser_xattr nowarn_on_error oldalloc orlov',
    'prefetch_block_bitmaps prjquota quota reservation resgid resuid sb stripe sysvgroups',
    'test_dummy_encryption user_xattr usrjquota usrquota warn_on_error xip',
    // xfs(5)
    'allocsize attr2 biosize delaylog filestreams gqnoenforce gquota ihashsize ikeep inode32 inode64 largeio',
    'dmapi irixsgid lifetime logbsize logbufs logdev max_atomic_write max_open_zones mtpt noalign',
    'noattr2 nodelaylog noikeep',
    'nolargeio nolifetime nouuid osyncisdsync osyncisosync pqnoenforce pquota qnoenforce rtdev sunit swalloc',
    'swidth uqnoenforce uquota wsync',
    // btrfs(5)
    'alloc_start autodefrag check_int check_int_data check_int_print_mask clear_cache compress compress-force',
    'datacow datasum degraded device enospc_debug fatal_errors flushoncommit fragment inode_cache max_inline',
    'metadata_ratio noautodefrag nodatacow nodatasum noenospc_debug noflushoncommit noinode_cache',
    'nologreplay nospace_cache nossd nossd_spread notreelog recovery ref_verify rescan_uuid_tree rescue',
    'skip_balance space_cache ssd ssd_spread subvol subvolid subvolrootid thread_pool treelog usebackuproot',
    'no_space_cache user_subvol_rm_allowed ignorebadroots ignoredatacsums',
    // vfat and msdos
    'allow_utime blocksize codepage conv cvf_format cvf_option dmask dos1xfloppy dots dotsOK fat flush fmask nocase',
    'gid iocharset nfs nodots nonumtail posix quiet rodir shortname showexec sys_immutable time_offset tz uid',
    'umask uni_xlate usefree utf8 dotsok',
    // tmpfs(5)
    'casefold grpquota_block_hardlimit grpquota_inode_hardlimit huge mode mpol noswap nr_blocks nr_inodes',
    'size strict_encoding usrquota_block_hardlimit usrquota_inode_hardlimit',
    // iso9660 and udf
    'adinicb anchor block bs cruft dmode fileset gforget gignore hide uforget uignore iso9660 joliet',
    'lastblock longad map noadinicb nocompress',
    'nojoliet norock nostrict novrs overriderockperm partition rock rootdir sbsector session shortad',
    'showassoc strict undelete unhide volume',
  ].flatMap((line) => line.split(' ')),
);

/** File systems whose options are the kernel's own; helpers of others know more. */
const KERNELS_OWN = /^(?:ext[234]|xfs|btrfs|vfat|msdos|tmpfs|iso9660|udf)$/;

export interface UnknownOption {
  name: string;
  /** What it is a misspelling of; null where nobody can tell. */
  meant: string | null;
}

/** The options of a line with which mount(8) fails, whatever lies on the device. */
export function unknownOptions({
  type,
  options,
}: Pick<FstabEntry, 'type' | 'options'>): UnknownOption[] {
  if (!KERNELS_OWN.test(type)) return [];
  return wholeOptions(options)
    .map(nameOf)
    .filter((name) => name !== '' && !/^x-/i.test(name) && !KNOWN.has(name))
    .map((name) => ({ name, meant: nearestWord(name, KNOWN) }));
}

/** The options as they are meant. */
export function withMeantOptions(
  options: readonly string[],
  unknown: readonly UnknownOption[],
): string[] {
  return wholeOptions(options).map((option) => {
    const name = nameOf(option);
    const meant = unknown.find((one) => one.name === name)?.meant ?? name;
    return meant + option.slice(name.length);
  });
}

/** A comma within quotes parts no options. */
function wholeOptions(options: readonly string[]): string[] {
  return options.join(',').match(/(?:[^,"]|"[^"]*"?)+/g) ?? [];
}

const nameOf = (option: string) => option.split('=', 1)[0]!;

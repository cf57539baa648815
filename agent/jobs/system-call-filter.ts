import type { ActionDeclaration } from '../../proto/actions/declaration.ts';

/**
 * What a confined runner asks the kernel for has no way past its namespaces: a program that a hostile disk
 * took over finds less of the kernel to attack. Root of the host (`host`) is not filtered: whatever it may
 * not call, it could do otherwise.
 *
 * A filter is a classic BPF program over `struct seccomp_data` (seccomp(2), bpf(4) of 4.4BSD): an array of
 * `struct sock_filter` in the byte order of the machine, which bubblewrap takes by `--seccomp`.
 */

/** Numbers of system calls on x86-64 and on arm64 (asm/unistd_64.h, asm-generic/unistd.h). */
type Numbers = readonly [x64: number, arm64: number | null];

const REFUSED: Readonly<Record<string, Numbers>> = {
  // Other processes, and files past every mount.
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  pidfd_getfd: [438, 438],
  kcmp: [312, 272],
  open_by_handle_at: [304, 265],
  setns: [308, 268],
  // Parts of the kernel that a repair never needs.
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  fanotify_init: [300, 262],
  lookup_dcookie: [212, 18],
  nfsservctl: [180, 42],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  modify_ldt: [154, null],
  iopl: [172, null],
  ioperm: [173, null],
  // The machine itself.
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  reboot: [169, 142],
  swapon: [167, 224],
  swapoff: [168, 225],
  acct: [163, 89],
  vhangup: [153, 58],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  clock_adjtime: [305, 266],
  adjtimex: [159, 171],
};

/** Namespaces, roots and mounts of its own. */
const REFUSED_WITHOUT_DISKS: Readonly<Record<string, Numbers>> = {
  unshare: [272, 97],
  pivot_root: [155, 41],
  chroot: [161, 51],
  mount: [165, 40],
  umount2: [166, 39],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
};

const CLONE: Numbers = [56, 220];
const CLONE3: Numbers = [435, 435];
const IOCTL: Numbers = [16, 29];
const SOCKET: Numbers = [41, 198];

/** CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID and _NEWNET of sched.h. */
const NEW_NAMESPACES = 0x7e_02_00_00;
/** Typing into a terminal that others read (ioctl_tty(2)). */
const TERMINAL_INJECTION = [0x5412, 0x541c];
/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. */
const SOCKET_FAMILIES = [1, 2, 10, 16];

const EPERM = 1;
/** Makes the C library take `clone` instead of `clone3`, whose arguments no filter can see. */
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

const ARCHITECTURES = {
  x64: { audit: 0xc0_00_00_3e, column: 0 },
  arm64: { audit: 0xc0_00_00_b7, column: 1 },
} as const;

/** On x86-64 the same calls exist a second time, with this bit, for programs of 32-bit pointers. */
const X32_BIT = 0x40_00_00_00;

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, value: number];

const NUMBER_AT = 0;
const ARCHITECTURE_AT = 4;
/** The lower half of an argument; the kernel reads no more of those looked at here. */
const argumentAt = (index: number) => 16 + 8 * index;

const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const ifEqual = (value: number, yes: number, no: number): Instruction => [0x15, yes, no, value];
const ifAtLeast = (value: number, yes: number, no: number): Instruction => [0x35, yes, no, value];
const ifAnyBit = (value: number, yes: number, no: number): Instruction => [0x45, yes, no, value];
const leave = (value: number): Instruction => [0x06, 0, 0, value];
const ALLOW = leave(0x7f_ff_00_00);
const KILL = leave(0x80_00_00_00);
const refuse = (error: number) => leave(0x00_05_00_00 | error);

/**
 * The filter for runners of this declaration, or null: they are root of the host, or the machine is of a
 * kind whose numbers are not known here.
 */
export function systemCallFilter(
  declaration: Pick<ActionDeclaration, 'capabilities'>,
  architecture: string = process.arch,
): Buffer | null {
  if (declaration.capabilities.includes('host')) return null;
  if (architecture !== 'x64' && architecture !== 'arm64') return null;
  const { audit, column } = ARCHITECTURES[architecture];
  const disks = declaration.capabilities.includes('disks');
  const refused = { ...REFUSED, ...(disks ? {} : REFUSED_WITHOUT_DISKS) };
  /** What happens at this call; nothing of it is there on machines that do not have the call. */
  const at = (numbers: Numbers, ...then: Instruction[]): Instruction[] => {
    const number = numbers[column];
    return number === null ? [] : [ifEqual(number, 0, then.length), ...then];
  };
  const program = [
    load(ARCHITECTURE_AT),
    ifEqual(audit, 1, 0),
    KILL,
    load(NUMBER_AT),
    ...(architecture === 'x64' ? [ifAtLeast(X32_BIT, 0, 1), KILL] : []),
    ...Object.values(refused).flatMap((numbers) => at(numbers, refuse(EPERM))),
    ...at(CLONE3, refuse(ENOSYS)),
    ...(disks
      ? []
      : at(CLONE, load(argumentAt(0)), ifAnyBit(NEW_NAMESPACES, 0, 1), refuse(EPERM), ALLOW)),
    ...at(IOCTL, load(argumentAt(1)), ...unlessOneOf(TERMINAL_INJECTION, ALLOW), refuse(EPERM)),
    ...at(
      SOCKET,
      load(argumentAt(0)),
      ...unlessOneOf(SOCKET_FAMILIES, refuse(EAFNOSUPPORT)),
      ALLOW,
    ),
    ALLOW,
  ];
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, jumpTrue, jumpFalse, value], index) => {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jumpTrue, index * 8 + 2);
    bytes.writeUInt8(jumpFalse, index * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4);
  });
  return bytes;
}

/** Goes past `otherwise` when the loaded word is one of these. */
function unlessOneOf(values: readonly number[], otherwise: Instruction): Instruction[] {
  const tests = values.map((value, index) => ifEqual(value, values.length - index, 0));
  return [...tests, otherwise];
}

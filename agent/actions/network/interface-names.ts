import { readText, type NetworkLook } from './network-repair.ts';

const COMMAND_LINES = [
  '/boot/grub/grub.cfg',
  '/boot/grub2/grub.cfg',
  '/etc/default/grub',
  '/etc/kernel/cmdline',
];
/** What switches the names of systemd.net-naming-scheme(7) off, or gives names of its own. */
const OVERRIDES = [
  '/etc/udev/rules.d/70-persistent-net.rules',
  '/etc/udev/rules.d/80-net-setup-link.rules',
  '/etc/udev/rules.d/80-net-name-slot.rules',
  '/etc/systemd/network/99-default.link',
  '/etc/systemd/network/73-usb-net-by-mac.link',
];
const SHIPPED = [
  '/usr/lib/systemd/network/99-default.link',
  '/lib/systemd/network/99-default.link',
];
/** What the kernel would take, and files of people mean: no pattern, nothing that has to be quoted. */
const NAME = /^[\w.:@-]{1,15}$/;
const OF_KERNEL = /^(?:eth|wlan)\d+$/;
const OF_SYSTEMD = /^(?:en|wl)(?:[bovx]|[Pps]\d)/;

export function isInterfaceName(name: string): boolean {
  return NAME.test(name);
}

/**
 * The text with one name of an interface in place of another, comments excepted. It is a word of its own where
 * `end`, a part of a regular expression, comes behind it. Unchanged where `from` is no name of an interface.
 */
export function renameInterface(text: string, from: string, to: string, end: string): string {
  if (!isInterfaceName(from)) return text;
  // Of what a name may hold only the dot means something else in an expression.
  const name = from.replaceAll('.', String.raw`\.`);
  const word = new RegExp(String.raw`(?<![\w.:/-])${name}${end}`, 'g');
  return text
    .split('\n')
    .map((line) => (line.trim().startsWith('#') ? line : line.replace(word, () => to)))
    .join('\n');
}

/**
 * Why a system on a disk will have no interface of this name, as far as its files tell: udev renames what the kernel
 * calls eth0, or was told not to. Null where nothing speaks against the name.
 */
export async function judgeName(
  { files, kind }: NetworkLook,
  name: string,
): Promise<string | null> {
  if (kind === 'live' || (!OF_KERNEL.test(name) && !OF_SYSTEMD.test(name))) return null;
  for (const path of OVERRIDES) if ((await files.lstat(path)) !== null) return null;
  const links = (await files.list('/etc/systemd/network')).filter((one) => one.endsWith('.link'));
  if (links.length > 0) return null;
  const isOff = await namesAreOff(files);
  if (OF_SYSTEMD.test(name)) {
    return isOff ? 'the kernel is told to keep its own names of interfaces (net.ifnames=0)' : null;
  }
  if (isOff) return null;
  for (const path of SHIPPED) {
    if ((await files.stat(path)) !== null)
      return 'udev renames interfaces of this kind when they appear';
  }
  return null;
}

async function namesAreOff(files: NetworkLook['files']): Promise<boolean> {
  for (const path of COMMAND_LINES) {
    if (/\bnet\.ifnames=0\b/.test((await readText(files, path)) ?? '')) return true;
  }
  return false;
}

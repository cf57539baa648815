import { expect, it } from 'vitest';
import { withoutSecrets } from './without-secrets.ts';

it.each([
  ['    wpa-psk hunter2 more', '    wpa-psk …'],
  ['wpa-psk \\\n hunter2 \\\n hunter2\nmtu 9000', 'wpa-psk …\n …\n …\nmtu 9000'],
  ['    up iwconfig wlan0 key s:hunter2', '    up iwconfig wlan0 key …'],
  ['password=hunter2', 'password=…'],
  ['wep-key0 = hunter2', 'wep-key0 = …'],
  ['IPSec secret=hunter2', 'IPSec secret=…'],
  ['pin=1234', 'pin=…'],
  ['WPA_PSK="hunter2"', 'WPA_PSK=…'],
  ['passwrod hunter2', 'passwrod …'],
  ['      "password": "hunter2', '      "password": …'],
  ['  home: {ssid: a, password: hunter2, mode: ap}', '  home: {ssid: a, password: …'],
  [
    'auth:\n  method: tls\n  password: |\n\n    hunter2\nmtu: 1',
    'auth:\n  …\n  …\n\n    …\nmtu: 1',
  ],
  ['keys:\n  - hunter2', 'keys:\n  …'],
])('of %j what is secret is not shown', (text, shown) => {
  expect(withoutSecrets(text)).toBe(shown);
  expect(withoutSecrets(withoutSecrets(text))).toBe(withoutSecrets(text));
});

it.each([
  'auto eth0\niface eth0 inet static\n    address 192.0.2.7/24\n    post-up ip link set eth0 up\n',
  'network:\n  ethernets:\n    ens3:\n      addresses: [192.0.2.7/24]\n      nameservers: {search: [a.example]}\n',
  '[connection]\nid=wired\n\n[ipv4]\nmethod=manual\naddress1=192.0.2.7/24,192.0.2.1\n',
])('%j is shown as it is', (text) => {
  expect(withoutSecrets(text)).toBe(text);
});

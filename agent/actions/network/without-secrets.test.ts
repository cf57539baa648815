import { expect, it } from 'vitest';
import { withoutSecrets } from './without-secrets.ts';

it.each([
  ['    wpa-psk hunter2 more', '    wpa-psk …'],
  ['wpa-psk \\\n hunter2 \\\n hunter2\nmtu 9000', 'wpa-psk …\n …\n …\nmtu 9000'],
  ['    wireless-key1 s:hunter2', '    wireless-key1 …'],
  ['    wpa-private-key-passwd2 hunter2', '    wpa-private-key-passwd2 …'],
  ['    wpa-ssid home wpa-psk hunter2', '    wpa-ssid home wpa-psk …'],
  ['    up iwconfig wlan0 key s:hunter2', '    up iwconfig wlan0 key …'],
  ['  post-up ip xfrm state add auth hunter2', '  post-up ip xfrm state add auth …'],
  ['password=hunter2', 'password=…'],
  ['private-key-password=hunter2', 'private-key-password=…'],
  ['password-raw=104;117;110', 'password-raw=…'],
  ['preshared-key=hunter2', 'preshared-key=…'],
  ['private-key=/hunter2+/=', 'private-key=…'],
  ['leap-password=hunter2', 'leap-password=…'],
  ['mka-cak=hunter2', 'mka-cak=…'],
  ['wep-key0 = hunter2', 'wep-key0 = …'],
  ['ipsec-psk=hunter2', 'ipsec-psk=…'],
  ['IPSec secret=hunter2', 'IPSec secret=…'],
  [
    '[vpn-secrets]\nform:main=hunter2\n[ipv4]\nmethod=auto',
    '[vpn-secrets]\nform:…\n[ipv4]\nmethod=auto',
  ],
  ['pin=1234', 'pin=…'],
  ['psk=/hunter2.key', 'psk=…'],
  ['PrivateKey=hunter2', 'PrivateKey=…'],
  ['PresharedKey = hunter2', 'PresharedKey = …'],
  ['Key=hunter2', 'Key=…'],
  ['WPA_PSK="hunter2"', 'WPA_PSK=…'],
  ['  sae_password="hunter2"', '  sae_password=…'],
  ['  private_key2_passwd="hunter2"', '  private_key2_passwd=…'],
  ['  milenage="hunter2:1"', '  milenage=…'],
  ['network={ ssid="a" psk="hunter2" }', 'network={ ssid="a" psk=…'],
  ['passwrod hunter2', 'passwrod …'],
  ['      "password": "hunter2', '      "password": …'],
  ['      password hunter2', '      password …'],
  ['  home: {ssid: a, password: hunter2, mode: ap}', '  home: {ssid: a, password: …'],
  ['  home: {password hunter2}', '  home: {password …'],
  ['  auth: {key-management: psk, password: hunter2}', '  auth: {key-management: psk, password: …'],
  [
    'auth:\n  method: tls\n  password: |\n\n    hunter2\nmtu: 1',
    'auth:\n  method: tls\n  password: …\n\n    …\nmtu: 1',
  ],
  ['wifi-security.psk: hunter2', 'wifi-security.psk: …'],
  ['keys:\n  - hunter2', 'keys:\n  …'],
  ['keys:\n  public: abc=\n  shared: hunter2', 'keys:\n  public: abc=\n  …'],
])('of %j what is secret is not shown', (text, shown) => {
  expect(withoutSecrets(text)).toBe(shown);
  expect(withoutSecrets(withoutSecrets(text))).toBe(withoutSecrets(text));
});

it.each([
  'auto eth0\niface eth0 inet static\n    address 192.0.2.7/24\n    post-up ip link set eth0 up\n',
  '    wpa-key-mgmt WPA-PSK WPA-EAP\n    wpa-ssid home\n    wpa-auth-alg OPEN\n',
  'network:\n  ethernets:\n    ens3:\n      addresses: [192.0.2.7/24]\n      nameservers: {search: [a.example]}\n',
  'auth:\n  key-management: psk\n  method: tls\n  identity: joe\n  client-certificate: /etc/a.pem\n  client-key: /etc/a.key\n',
  'ipv6-address-token: "::2"\n',
  '[connection]\nid=wired\n\n[ipv4]\nmethod=shared\naddress1=192.0.2.7/24,192.0.2.1\n',
  '[wifi-security]\nkey-mgmt=wpa-psk\nauth-alg=open\npsk-flags=1\nwep-key-type=1\n',
  '[802-1x]\neap=tls;\nprivate-key=/etc/ssl/joe.pem\npassword-flags=2\nphase2-auth=mschapv2\n',
  '[wireguard-peer.hunter2=]\nendpoint=192.0.2.1:51820\nallowed-ips=::/0\n',
  '[WireGuard]\nPrivateKeyFile=/etc/wg.key\n[WireGuardPeer]\nPublicKey=abc=\nPresharedKeyFile=/etc/psk\n',
  '[IPv6AcceptRA]\nToken=static:::2\n[MACsecReceiveAssociation]\nKeyId=01\n',
  'network={\n  ssid="The secret garden"\n  key_mgmt=WPA-PSK WPA-EAP\n  phase2="auth=MSCHAPV2"\n}\n',
])('%j is shown as it is', (text) => {
  expect(withoutSecrets(text)).toBe(text);
});

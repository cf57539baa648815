import * as grpc from '@grpc/grpc-js';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openCertificateAuthority } from '../../control-plane/agents/certificate-authority.ts';
import { agentService, AgentServiceClient, CONTROL_PLANE_NAME } from '../../proto/wire.ts';
import type { UploadLogRequest__Output, UploadLogResponse } from '../../proto/wire.ts';

const CHUNK = 16 * 1024;

/**
 * What the wire alone can do: the same messages over one grpc-js stream with the same TLS to a server in
 * a process of its own that counts bytes and keeps nothing.
 */
export async function measureBareGrpc(
  megabytes: number,
  runs: number,
  line: { throughProxy?: (port: number) => Promise<{ port: number; close(): Promise<void> }> } = {},
): Promise<number[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'iv-grpc-'));
  const authority = await openCertificateAuthority(folder);
  const child = fork(import.meta.filename, ['serve', folder], { stdio: 'inherit' });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  const proxy = await line.throughProxy?.(port);
  const client = new AgentServiceClient(
    `127.0.0.1:${proxy?.port ?? port}`,
    grpc.credentials.createSsl(Buffer.from(authority.certificatePem)),
    { 'grpc.ssl_target_name_override': CONTROL_PLANE_NAME, 'grpc.enable_channelz': 0 },
  );
  const data = Buffer.alloc(CHUNK, 'x');
  const rates: number[] = [];
  for (let run = 0; run < runs + 1; run++) {
    // The first one opens the connection.
    const stream = client.UploadLog();
    stream.on('data', () => {});
    const total = megabytes * 1_000_000;
    const began = performance.now();
    for (let offset = 0; offset < total; offset += CHUNK) {
      const chunk = { offset, length: CHUNK, compression: 0, data, firstLine: 0, lines: 0 };
      if (!stream.write({ chunk })) await once(stream, 'drain');
    }
    stream.end();
    await once(stream, 'end');
    if (run > 0) rates.push(total / 1000 / (performance.now() - began));
  }
  client.close();
  await proxy?.close();
  child.kill('SIGKILL');
  await once(child, 'exit');
  rmSync(folder, { recursive: true });
  return rates;
}

async function serve(folder: string): Promise<void> {
  const authority = await openCertificateAuthority(folder);
  const { key, cert } = await authority.issueServerCertificate();
  const server = new grpc.Server();
  server.addService(agentService, {
    UploadLog: (call: grpc.ServerDuplexStream<UploadLogRequest__Output, UploadLogResponse>) => {
      let bytes = 0;
      call.on('data', (message: UploadLogRequest__Output) => {
        bytes += message.chunk?.data?.length ?? 0;
      });
      call.on('end', () => {
        call.write({ committedOffset: bytes });
        call.end();
      });
    },
    Connect: () => {},
    Enroll: () => {},
    Renew: () => {},
  });
  const credentials = grpc.ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) },
  ]);
  server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
    if (error) throw error;
    process.send?.({ port });
  });
}

if (process.argv[2] === 'serve') await serve(process.argv[3]!);

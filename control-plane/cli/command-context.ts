import type { ApiClient } from './api/api-client.ts';
import { Terminal } from './output/terminal.ts';
import type { KeyStore } from './profile/key-store.ts';
import { Profile } from './profile/profile.ts';
import type { ProfileData } from './profile/profile.ts';
import { Prompt } from './profile/prompt.ts';
import type { Surroundings } from './surroundings.ts';

/** Options that every command takes. */
export interface CommonOptions {
  profile?: string;
  json?: boolean;
  color?: boolean;
  input?: boolean;
  passphraseFile?: string;
}

/** What a command works with. The parts that take time to load are loaded when first asked for. */
export class CommandContext {
  readonly surroundings: Surroundings;
  readonly terminal: Terminal;
  readonly prompt: Prompt;
  readonly profile: Profile;
  private readonly options: CommonOptions;
  private client: ApiClient | null = null;
  private store: KeyStore | null = null;

  constructor(surroundings: Surroundings, options: CommonOptions) {
    this.surroundings = surroundings;
    this.options = options;
    this.profile = new Profile(surroundings.home, options.profile ?? surroundings.profile);
    this.terminal = new Terminal(surroundings, {
      json: options.json === true,
      color: options.color !== false,
      profile: this.profile.name,
    });
    this.prompt = new Prompt(this.terminal, surroundings, { input: options.input !== false });
  }

  /** The control plane, as the person of this profile. Throws CliError when nobody has logged in. */
  async api(): Promise<ApiClient> {
    if (this.client === null) {
      const data = this.profile.require();
      this.client = await this.connect(data, this.profile.readToken());
    }
    return this.client;
  }

  /** A control plane with a token of its own, or none. Not closed by `close`. */
  async connect(to: Pick<ProfileData, 'url' | 'caFile'>, token: string | null): Promise<ApiClient> {
    const { ApiClient } = await import('./api/api-client.ts');
    return new ApiClient({ url: to.url, caFile: to.caFile, token });
  }

  async keys(): Promise<KeyStore> {
    if (this.store === null) {
      const { KeyStore } = await import('./profile/key-store.ts');
      this.store = new KeyStore(this.profile, {
        file: this.options.passphraseFile,
        prompt: this.prompt,
      });
    }
    return this.store;
  }

  nowSeconds(): number {
    return Math.floor(this.surroundings.now() / 1000);
  }

  close(): void {
    this.client?.close();
  }
}

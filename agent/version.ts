/** Raised with every release; upgrades are by local root. */
export const AGENT_VERSION = '0.1.0';

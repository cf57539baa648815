// Original file: proto/intervene/v1/agent.proto


export interface Facts {
  'hostname'?: (string);
  'machineId'?: (string);
  'serial'?: (string);
  'macAddresses'?: (string)[];
  'os'?: (string);
  'kernel'?: (string);
  'agentVersion'?: (string);
  'addresses'?: (string)[];
}

export interface Facts__Output {
  'hostname'?: (string);
  'machineId'?: (string);
  'serial'?: (string);
  'macAddresses'?: (string)[];
  'os'?: (string);
  'kernel'?: (string);
  'agentVersion'?: (string);
  'addresses'?: (string)[];
}

// Original file: proto/intervene/v1/agent.proto


export interface ActionVersion {
  'id'?: (string);
  'version'?: (number);
}

export interface ActionVersion__Output {
  'id'?: (string);
  'version'?: (number);
}

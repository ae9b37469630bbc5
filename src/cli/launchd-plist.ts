import { build } from "plist";

/** The contents of a LaunchAgent. */
export interface AgentOptions {
  readonly label: string;
  /** The program with its arguments, by absolute paths. */
  readonly command: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** Takes stdout and stderr. */
  readonly logFile: string;
}

/**
 * Returns the property list that runs the daemon for a signed-in user; the Keychain is open to no other kind of agent.
 *
 * @see launchd.plist(5)
 */
export function launchdPlist({ label, command, variables, logFile }: AgentOptions): string {
  const agent = {
    Label: label,
    ProgramArguments: [...command],
    EnvironmentVariables: variables,
    RunAtLoad: true,
    KeepAlive: true,
    ThrottleInterval: 5,
    ExitTimeOut: 75,
    // launchd reads the mask as a decimal number.
    Umask: 0o077,
    ProcessType: "Background",
    HardResourceLimits: { Core: 0 },
    StandardOutPath: logFile,
    StandardErrorPath: logFile,
  };
  return `${build(agent)}\n`;
}

/** The contents of a LaunchAgent. */
export interface AgentOptions {
  readonly label: string;
  /** The program with its arguments, by absolute paths. */
  readonly command: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** Takes stdout and stderr. */
  readonly logFile: string;
}

/** 0077: launchd reads the mask as a decimal number. */
const UMASK = 0o077;

/**
 * The property list that runs the daemon for a user who is signed in; the Keychain is open to no other kind.
 *
 * @see launchd.plist(5)
 */
export function launchdPlist({ label, command, variables, logFile }: AgentOptions): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
  <dict>
    <key>Label</key>
    <string>${text(label)}</string>
    <key>ProgramArguments</key>
    <array>
${command.map((word) => `      <string>${text(word)}</string>`).join("\n")}
    </array>
    <key>EnvironmentVariables</key>
    <dict>
${Object.entries(variables)
  .map(([name, value]) => `      <key>${text(name)}</key>\n      <string>${text(value)}</string>`)
  .join("\n")}
    </dict>
    <key>RunAtLoad</key>
    <true/>
    <key>KeepAlive</key>
    <true/>
    <key>ThrottleInterval</key>
    <integer>5</integer>
    <key>ExitTimeOut</key>
    <integer>75</integer>
    <key>Umask</key>
    <integer>${String(UMASK)}</integer>
    <key>ProcessType</key>
    <string>Background</string>
    <key>HardResourceLimits</key>
    <dict>
      <key>Core</key>
      <integer>0</integer>
    </dict>
    <key>StandardOutPath</key>
    <string>${text(logFile)}</string>
    <key>StandardErrorPath</key>
    <string>${text(logFile)}</string>
  </dict>
</plist>
`;
}

function text(value: string): string {
  return value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

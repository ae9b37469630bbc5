/** The contents of a systemd unit. */
export interface UnitOptions {
  /** The program with its arguments, by absolute paths. */
  readonly command: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** The manager's own version; null for one that any version reads without a warning. */
  readonly systemdVersion: number | null;
  /** The manual page is installed. */
  readonly manual: boolean;
  readonly scope: { readonly kind: "user" } | SystemScope;
}

export interface SystemScope {
  readonly kind: "system";
  readonly user: string;
  /** Directories that it writes: the home, and those of other stores. */
  readonly writable: readonly string[];
}

/** Waits between restarts grow since this version. */
const GROWING_RESTARTS_SINCE = 254;

/**
 * The unit that runs the daemon: one for the user's own manager, or a system unit that runs as a user.
 *
 * @see systemd.service(5), systemd.exec(5)
 */
export function systemdUnit(options: UnitOptions): string {
  const { scope, command, variables } = options;
  return `${[
    "[Unit]",
    "Description=credsyncd keeps every agent's copy of a rotating login in step",
    ...(options.manual ? ["Documentation=man:credsyncd(1)"] : []),
    "# A login that stays stale is worse than a log line now and then: it is tried again for ever.",
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    "Type=notify",
    "# READY and the rest are told by the program systemd-notify.",
    "NotifyAccess=all",
    ...(scope.kind === "system" ? [`User=${scope.user}`] : []),
    ...Object.entries(variables).map(([name, value]) => `Environment=${quoted(`${name}=${value}`, "value")}`),
    `ExecStart=${command.map((word) => quoted(word, "command")).join(" ")}`,
    "ExecReload=/bin/kill -HUP $MAINPID",
    "SyslogIdentifier=credsyncd",
    "Restart=on-failure",
    "RestartSec=5s",
    ...((options.systemdVersion ?? 0) >= GROWING_RESTARTS_SINCE ? ["RestartSteps=6", "RestartMaxDelaySec=5min"] : []),
    "# A wrong call or a wrong configuration: only a person mends these.",
    "RestartPreventExitStatus=64 78",
    "# It is told every half of this, and only while reconciles end in time.",
    "WatchdogSec=60s",
    "# The first reconcile may have to wait for locks of other programs.",
    "TimeoutStartSec=2min",
    "# Who renews the login for keepWarm may be the only one to know the next one: it is not ended, but waited for.",
    "KillMode=mixed",
    "TimeoutStopSec=75s",
    "",
    ...processSandbox,
    ...(scope.kind === "system" ? ["", ...systemSandbox(scope)] : [...userNote]),
    "",
    "[Install]",
    `WantedBy=${scope.kind === "system" ? "multi-user.target" : "default.target"}`,
  ].join("\n")}\n`;
}

/** Settings that need no namespace, and so work in every manager. */
const processSandbox = [
  "# The program makes every file private itself; this is the second fence, and a core would hold logins.",
  "UMask=0077",
  "LimitCORE=0",
  "NoNewPrivileges=yes",
  "LockPersonality=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "RestrictNamespaces=yes",
  "# Names and addresses of a running gateway are on this host.",
  "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
  "SystemCallArchitectures=native",
  "SystemCallFilter=@system-service",
  "SystemCallFilter=~@privileged @resources",
  "# A replaced file keeps its owner.",
  "SystemCallFilter=@chown",
  "SystemCallErrorNumber=EPERM",
  "# No MemoryDenyWriteExecute: V8 compiles to memory that it then runs.",
];

const userNote = [
  "# No ProtectSystem and the like: in a user's manager they take user namespaces, which many hosts forbid, and the",
  "# service would not start there. The system unit has them.",
];

function systemSandbox({ writable }: SystemScope): string[] {
  return [
    "# Everything is read-only but the home as a whole, since Claude Code's lock is beside its directory: ~/.claude.lock.",
    "# A store elsewhere is added by: systemctl edit, [Service], ReadWritePaths=",
    "ProtectSystem=strict",
    ...writable.map((path) => `ReadWritePaths=${quoted(path, "value")}`),
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "DevicePolicy=closed",
    "PrivateMounts=yes",
    "PrivateUsers=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "# No ProcSubset=pid: the boot id tells a lock of before a reboot.",
    "ProtectProc=invisible",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "# A gateway on this host is told; nothing else is ever called. A keepWarm or alert command that needs the network",
    "# gets it by: systemctl edit, [Service], IPAddressAllow=any",
    "IPAddressDeny=any",
    "IPAddressAllow=localhost",
  ];
}

/**
 * A word of a unit file, in quotes where it needs them: `%` is a specifier everywhere, `$` a variable in a command.
 *
 * @throws RangeError for a line break, which no unit file can hold
 */
function quoted(word: string, place: "command" | "value"): string {
  // eslint-disable-next-line no-control-regex -- these are what a unit file cannot hold
  if (/[\u0000-\u001f]/.test(word)) throw new RangeError("a unit file cannot hold a line break");
  const percent = word.replaceAll("%", "%%");
  const escaped = place === "command" ? percent.replaceAll("$", "$$$$") : percent;
  return /^[\w@%+=:,./$-]+$/.test(escaped) ? escaped : `"${escaped.replaceAll(/["\\]/g, "\\$&")}"`;
}

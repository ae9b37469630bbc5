import { Failure } from "../domain/errors.js";
import type { CommandEntry } from "./command-tree.js";
import { exitCodes, openOutput, type CommonOptions, type ExitCode } from "./output.js";

const SHELLS = { bash, zsh, fish } as const;

/** `credsyncd completion`: a script that completes commands and options, for a shell to read. */
export function completion(shell: string, commands: readonly CommandEntry[], options: CommonOptions): ExitCode {
  const script = Object.entries(SHELLS).find(([name]) => name === shell)?.[1](commands);
  if (script === undefined) throw new Failure("usage", `there are completions for bash, zsh and fish, not for ${shell}`, null);
  openOutput(options).result(script.trimEnd(), { schemaVersion: 1, shell, script });
  return exitCodes.done;
}

/** The options after which a file name stands. */
function fileOptions(commands: readonly CommandEntry[]): string[] {
  const all = commands.flatMap(({ options }) => options.filter(({ value }) => value === "file").map(({ long }) => long));
  return [...new Set(all)];
}

function wordsOf({ options, subcommands }: CommandEntry): string[] {
  return [
    ...subcommands.map(({ name }) => name),
    ...options.flatMap(({ short, long }) => [long, ...(short === null ? [] : [short])]),
  ];
}

function paths(commands: readonly CommandEntry[]): string[] {
  return commands.flatMap(({ path }) => (path.length === 0 ? [] : [path.join(" ")]));
}

/** Every command, as a pattern of a `case` in bash and zsh. */
function patternOf(commands: readonly CommandEntry[]): string {
  return paths(commands)
    .map((path) => `'${path}'`)
    .join(" | ");
}

function bash(commands: readonly CommandEntry[]): string {
  return `# bash completion for credsyncd
_credsyncd() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command='' word words=''
  case $previous in
    ${fileOptions(commands).join(" | ")})
      # shellcheck disable=SC2207 # mapfile is not in the bash of macOS
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
  esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${command:+$command }$word" in
      ${patternOf(commands)}) command="\${command:+$command }$word" ;;
    esac
  done
  case $command in
${commands.map((entry) => `    '${entry.path.join(" ")}') words='${wordsOf(entry).join(" ")}' ;;`).join("\n")}
  esac
  # shellcheck disable=SC2207
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _credsyncd credsyncd
`;
}

function zsh(commands: readonly CommandEntry[]): string {
  const described = (name: string, description: string): string => zshQuoted(`${name.replaceAll(":", "\\:")}:${description}`);
  return `#compdef credsyncd
_credsyncd() {
  local command='' word
  local -a items options
  for word in \${words[2,CURRENT-1]}; do
    case "\${command:+$command }$word" in
      ${patternOf(commands)}) command="\${command:+$command }$word" ;;
    esac
  done
  case \${words[CURRENT-1]} in
    ${fileOptions(commands).join(" | ")}) _files; return ;;
  esac
  case $command in
${commands
  .map(
    ({ path, subcommands, options }) =>
      `    '${path.join(" ")}')
      items=(${subcommands.map(({ name, description }) => described(name, description)).join(" ")})
      options=(${options.map(({ long, description }) => described(long, description)).join(" ")})
      ;;`,
  )
  .join("\n")}
  esac
  _describe -t commands command items
  _describe -o -t options option options
}
# Read by the completion system the file is the function; sourced, it registers it.
if [ "\${funcstack[1]}" = _credsyncd ]; then _credsyncd "$@"; else compdef _credsyncd credsyncd; fi
`;
}

function zshQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fish(commands: readonly CommandEntry[]): string {
  const lines = commands.flatMap(({ path, subcommands, options }) => {
    const when = `complete -c credsyncd -n '__credsyncd_command_is "${path.join(" ")}"'`;
    return [
      ...subcommands.map(({ name, description }) => `${when} -f -a ${name} -d ${fishQuoted(description)}`),
      ...options.map(({ short, long, description, value }) =>
        [
          when,
          ...(value === null ? [] : [value === "file" ? "-r -F" : "-x"]),
          ...(short === null ? [] : ["-s", short.slice(1)]),
          "-l",
          long.slice(2),
          "-d",
          fishQuoted(description),
        ].join(" "),
      ),
    ];
  });
  return `# fish completion for credsyncd
function __credsyncd_command_is
    set -l command
    for word in (commandline -opc)[2..]
        switch "$command $word"
            case ${paths(commands)
              .map((path) => `'${path.includes(" ") ? path : ` ${path}`}'`)
              .join(" ")}
                set command (string trim "$command $word")
        end
    end
    test "$command" = "$argv[1]"
end
complete -c credsyncd -f
${lines.join("\n")}
`;
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

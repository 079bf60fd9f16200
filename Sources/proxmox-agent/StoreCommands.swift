import AgentService
import AgentStorage
import ArgumentParser
import StrictJSON

/// The path of a file in a configuration, without reading the rest; `nil` if it is not set.
func configuredPath(_ key: String, in config: String) throws(ExitCode) -> String? {
    do throws(FileError) {
        let bytes = try readFile(config, limit: 4 << 20)
        guard let object = (try? JSON.parse(bytes))?.object else {
            throw FileError(detail: "is no JSON object; see proxmox-agent check --config \(config)")
        }
        guard let value = object[key] else { return nil }
        guard let path = value.string, !path.isEmpty else {
            throw FileError(detail: "\(key): expected a file's path, got \(value.shown)")
        }
        return path
    } catch {
        throw fail("\(config): \(error.detail)")
    }
}

/// `proxmox-agent store`
struct StoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store", abstract: "Check and back up the state: plans, operations, approvals.",
        subcommands: [Check.self, Backup.self])

    /// Selects the state.
    struct Place: ParsableArguments {
        @Option(
            help: ArgumentHelp("The configuration file; only state_path is used.", valueName: "file"),
            completion: .file())
        var config: String?

        @Option(help: ArgumentHelp("Or the state itself; ./data/state.db.", valueName: "file"), completion: .file())
        var state: String?

        func validate() throws {
            guard config == nil || state == nil else { throw ValidationError("give --config or --state, not both") }
        }

        /// The given path. Only reads `state_path` of a configuration: its secrets may not be readable here.
        func path() throws(ExitCode) -> String {
            let usual = AgentConfig().statePath
            guard let config else { return state ?? usual }
            return try configuredPath("state_path", in: config) ?? usual
        }
    }

    /// `proxmox-agent store check`
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check the state: file, schema, key and every row.",
            discussion: """
                Changes nothing and may run beside the agent. Prints what is in the state; names whatever is wrong and \
                then exits with 1.
                """)

        @OptionGroup var place: Place

        func run() throws {
            let path = try place.path()
            let report: StateReport
            do throws(StoreError) { report = try StatePlace(path).check() } catch { throw fail(quoted(error.detail)) }
            print("state \(quoted(path)): \(report.flaws.isEmpty ? "sound" : "not sound")")
            for line in report.lines { print(quoted(line)) }
            for flaw in report.flaws { complain(quoted(flaw)) }
            if !report.flaws.isEmpty { throw ExitCode.failure }
        }
    }

    /// `proxmox-agent store backup`
    struct Backup: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Copy the state and its key to new files, and check the copy.",
            discussion: """
                May run beside the agent; the copy is of one moment. Beside DESTINATION, such as state-2026-11-24.db, \
                it writes the installation's key, state-2026-11-24.key; both with mode 0600. Whoever has the two can \
                read the secrets of the plans that were alive: keep them as you keep passwords.
                """)

        @OptionGroup var place: Place

        @Argument(help: "The new file; an existing file is never overwritten.", completion: .file())
        var destination: String

        func run() throws {
            let path = try place.path()
            do throws(StoreError) {
                let report = try StatePlace(path).backUp(to: destination)
                let copy = try StatePlace(destination)
                print("backup \(quoted(copy.database)) and \(quoted(copy.key)): sound")
                for line in report.lines { print(quoted(line)) }
            } catch {
                throw fail(quoted(error.detail))
            }
        }
    }
}

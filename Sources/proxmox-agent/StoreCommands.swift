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
        commandName: "store", abstract: "Check, back up and move the state: plans, operations, approvals.",
        subcommands: [Check.self, Backup.self, Copy.self])

    /// Selects the state.
    struct Place: ParsableArguments {
        @Option(
            help: ArgumentHelp("The configuration file; only what it says of the state is used.", valueName: "file"),
            completion: .file())
        var config: String?

        @Option(
            help: ArgumentHelp("Or the state itself, if it is a file; ./data/state.db.", valueName: "file"),
            completion: .file())
        var state: String?

        func validate() throws {
            guard config == nil || state == nil else { throw ValidationError("give --config or --state, not both") }
        }

        /// Only reads what a configuration says of the state: its secrets may not be readable here.
        func location() throws(ExitCode) -> StateLocation {
            guard let config else { return .file(state ?? AgentConfig.usualState) }
            return try configuredState(in: config)
        }
    }

    /// `proxmox-agent store check`
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check",
            abstract: "Check the state: schema, key and every row.",
            discussion: """
                Changes nothing and may run beside the agent. Prints what is in the state; names whatever is wrong and \
                then exits with 1.
                """)

        @OptionGroup var place: Place

        func run() throws {
            let location = try place.location()
            let report: StateReport
            do throws(StoreError) { report = try location.check() } catch { throw fail(error) }
            print("state \(quoted(location.name)): \(report.flaws.isEmpty ? "sound" : "not sound")")
            for line in report.lines { print(quoted(line)) }
            for flaw in report.flaws { complain(quoted(flaw)) }
            if !report.flaws.isEmpty { throw ExitCode.failure }
        }
    }

    /// `proxmox-agent store backup`
    struct Backup: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "backup",
            abstract: "Copy the state and its key to new files, and check the copy.",
            discussion: """
                May run beside the agent; the copy is of one moment. Beside DESTINATION, such as state-2026-11-24.db, \
                it writes the installation's key, state-2026-11-24.key; both with mode 0600. Whoever has the two can \
                read the secrets of the plans that were alive: keep them as you keep passwords. The copy of a state in \
                PostgreSQL is such a file too; store copy brings it back.
                """)

        @OptionGroup var place: Place

        @Argument(help: "The new file; an existing file is never overwritten.", completion: .file())
        var destination: String

        func run() throws {
            let location = try place.location()
            do throws(StoreError) {
                let report = try location.backUp(to: destination)
                let copy = try StatePlace(destination)
                print("backup \(quoted(copy.database)) and \(quoted(copy.key)): sound")
                for line in report.lines { print(quoted(line)) }
            } catch {
                throw fail(error)
            }
        }
    }

    /// `proxmox-agent store copy`
    struct Copy: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "copy",
            abstract: "Move a state between a file and PostgreSQL.",
            discussion: """
                Copies every row and the key, and compares each row with what was written. Run it as the agent's user, \
                while no agent uses either state. The target must be empty. A name that ends in .json is that of a configuration, and means \
                the state that it names. The source stays as it is: do not start an agent on it again.
                """)

        @Argument(help: "The state's file, or a configuration.", completion: .file())
        var source: String

        @Argument(
            help: "The new file, or a configuration whose state_url names an empty database.", completion: .file())
        var target: String

        func run() throws {
            let (from, to) = (try Self.location(source), try Self.location(target))
            do throws(StoreError) {
                let report = try from.copy(to: to)
                print("state \(quoted(to.name)): every row is that of \(quoted(from.name))")
                for line in report.lines { print(quoted(line)) }
            } catch {
                throw fail(error)
            }
        }

        private static func location(_ name: String) throws(ExitCode) -> StateLocation {
            name.hasSuffix(".json") ? try configuredState(in: name) : .file(name)
        }
    }
}

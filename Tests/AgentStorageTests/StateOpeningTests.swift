import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Glibc
import SQLite
import Testing

/// Whatever is wrong with the files: a line that names the file and the cure, and nothing changed.
@Suite(.timeLimit(.minutes(2)))
struct StateOpeningTests {
    /// Holds that the state is refused with a text that contains `words`, and that all files are as they were.
    private func expectRefusal(
        _ place: borrowing StateDirectory, _ words: String..., schema: StateSchema = .current,
        at location: SourceLocation = #_sourceLocation
    ) async throws {
        var before = try place.files()
        let refusal = await place.refusal(nil, schema)
        for word in words { #expect(refusal.contains(word), "\(refusal)", sourceLocation: location) }
        #expect(refusal.hasPrefix("state \(place.directory.path)"), "\(refusal)", sourceLocation: location)
        var after = try place.files()
        // What SQLite keeps there is for the processes that run.
        before["db-shm"] = nil
        after["db-shm"] = nil
        #expect(before.keys == after.keys, sourceLocation: location)
        for (name, bytes) in before { #expect(after[name] == bytes, "\(name)", sourceLocation: location) }
    }

    @Test(arguments: ["db", "key", "db.lock"], [0o640, 0o604, 0o622, 0o777] as [mode_t])
    func `files that others may touch`(end: String, mode: mode_t) async throws {
        let place = try StateDirectory()
        try await place.written(1)
        let path = "\(place.directory.path)/data/state.\(end)"
        #expect(chmod(path, mode) == 0)
        try await expectRefusal(place, "\(path): others may read or write it; run: chmod 600 \(path)")
        #expect(chmod(path, 0o600) == 0)
        #expect(await place.refusal() == "")
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give files away"), arguments: ["db", "key"])
    func `another user's files`(end: String) async throws {
        let place = try StateDirectory()
        try await place.written(1)
        let path = "\(place.directory.path)/data/state.\(end)"
        #expect(chown(path, 12_345, 12_345) == 0)
        try await expectRefusal(place, "belongs to another user; run: chown \(geteuid()) \(path)")
    }

    @Test func `a read-only file`() async throws {
        let place = try StateDirectory()
        try await place.written(1)
        #expect(chmod(place.database, 0o400) == 0)
        try await expectRefusal(place, "is read-only; run: chmod 600 \(place.database)")
    }

    @Test(.enabled(if: SmallDisk.isPossible, "mounting a tmpfs is not permitted"))
    func `a read-only disk`() async throws {
        let disk = try SmallDisk(kilobytes: 1024)
        let place = try StateDirectory(at: disk.path)
        try await place.written(1)
        #expect(run(["mount", "-o", "remount,ro", disk.path]) == 0)
        try await expectRefusal(place, "Read-only file system")
        #expect(run(["mount", "-o", "remount,rw", disk.path]) == 0)
        #expect(await place.refusal() == "")
    }

    @Test(arguments: [0, 16, 100])
    func `damage in the header`(offset: Int) async throws {
        let place = try StateDirectory()
        try await place.written(3)
        try place.overwrite([UInt8](repeating: 0xA5, count: 8), at: offset)
        try await expectRefusal(place, place.database, "move it aside")
    }

    @Test func `damage in any page`() async throws {
        let place = try StateDirectory()
        let store = try place.open()
        for number in 0..<40 { try await store.put(.sample(number, padding: number * 400)) }
        await store.close()
        let whole = try place.read()
        #expect(whole.count > 40 * 4096)
        for page in stride(from: 4096, to: whole.count, by: 4096) {
            try place.overwrite([UInt8](repeating: 0xA5, count: 16), at: page)
            let refusal = await place.refusal()
            #expect(
                refusal.hasPrefix("state \(place.database)") && refusal.contains("damaged")
                    || refusal.contains("malformed"),
                "page \(page / 4096): \(refusal)")
            try place.overwrite(Array(whole[page..<page + 16]), at: page)
        }
        #expect(try place.read() == whole)
        #expect(await place.refusal() == "")
    }

    @Test(arguments: [1, 99, 100, 511, 4096, -4096, -1])
    func `a truncated file`(length: Int) async throws {
        let place = try StateDirectory()
        try await place.written(3)
        let size = try place.read().count
        #expect(truncate(place.database, length > 0 ? length : size + length) == 0)
        try await expectRefusal(place, place.database, "move it aside")
    }

    @Test(arguments: ["no database at all\n", "SQLite format 3\0", String(repeating: "x", count: 5000)])
    func `what is no database`(text: String) async throws {
        let place = try StateDirectory()
        try await place.written(0)
        #expect(truncate(place.database, 0) == 0)
        try place.overwrite(Array(text.utf8))
        try await expectRefusal(place, "name another file, or move it aside")
    }

    @Test(arguments: ["PRAGMA application_id = 7", "PRAGMA application_id = 0", "PRAGMA user_version = 0"])
    func `another program's database`(change: String) async throws {
        let place = try StateDirectory()
        try await place.written(1)
        try place.sql(change)
        try await expectRefusal(place, "is the database of another program; name another file")
    }

    @Test func `a newer version, even where only the log of a crash says so`() async throws {
        let place = try StateDirectory()
        let copy = try StateDirectory()
        let store = try place.open(
            StateSchema(steps: StateSchema.current.steps + ["CREATE TABLE more (x TEXT) STRICT"]))
        try place.copyCrashed(to: copy)
        await store.close()
        for place in [place.database, copy.database] { #expect(access(place, F_OK) == 0) }
        let known = StateSchema.current.steps.count
        let words = "was written by a newer version (schema \(known + 1), this program knows \(known)); run that one"
        try await expectRefusal(place, words)
        try await expectRefusal(copy, words)
    }

    @Test func `a second agent, also under another name of the file`() async throws {
        let place = try StateDirectory()
        let store = try place.open()
        let link = "\(place.directory.path)/link.db"
        #expect(symlink(place.database, link) == 0)
        let around = "\(place.directory.path)/data/../data/state.db"
        for path in [place.database, link, around] {
            let refusal = await place.refusal(path)
            #expect(refusal.hasPrefix("state \(place.database): another process uses it; stop that one"), "\(refusal)")
        }
        try await store.put(.sample(1))
        await store.close()
        #expect(await place.refusal(link) == "")
    }

    @Test func `another program that holds the file`() async throws {
        let place = try StateDirectory()
        try await place.written(1)
        let other = try Database(path: place.database)
        try other.run("PRAGMA locking_mode = EXCLUSIVE")
        try other.execute("BEGIN EXCLUSIVE")
        let refusal = await place.refusal()
        #expect(refusal.contains("database is locked") && refusal.contains("end that one (fuser"), "\(refusal)")
    }

    @Test func `links to nothing, second names, directories and pipes`() async throws {
        let place = try StateDirectory()
        try await place.written(1)
        let other = "\(place.directory.path)/other.db"
        #expect(link(place.database, other) == 0)
        try await expectRefusal(place, "has 2 names (hard links); leave it only one")
        #expect(unlink(other) == 0 && symlink("nothing", other) == 0)
        #expect(await place.refusal(other).contains("is a symbolic link to nothing"))
        #expect(unlink(other) == 0 && mkdir(other, 0o700) == 0)
        #expect(await place.refusal(other).contains("is not a regular file"))
        #expect(rmdir(other) == 0 && mkfifo(other, 0o600) == 0)
        #expect(await place.refusal(other).contains("is not a regular file"))
        #expect(await place.refusal("\(place.directory.path)/a/b/state.db").contains("cannot create the directory"))
        #expect(await place.refusal("\(place.directory.path)/state.key").contains("name the state something.db"))
        for path in ["", "/", "a/", "..", "a\0b"] { #expect(await place.refusal(path).contains("is no file's name")) }
    }

    // MARK: The key

    @Test func `a state without its key, or with another one`() async throws {
        let place = try StateDirectory()
        try await place.written(1)
        let aside = place.key + ".aside"
        #expect(rename(place.key, aside) == 0)
        try await expectRefusal(
            place, "\(place.key): the key is missing; restore it from your backup, or move the state")
        #expect(access(place.key, F_OK) != 0, "no new key is made for an old state")

        let stranger = try StateDirectory()
        try await stranger.written(0)
        #expect(run(["cp", "-p", stranger.key, place.key]) == 0)
        try await expectRefusal(place, "was made under another key than \(place.key)")

        for bytes in [[], [UInt8](repeating: 1, count: 31), [UInt8](repeating: 1, count: 33)] {
            try #require(unlink(place.key) == 0)
            let descriptor = open(place.key, O_WRONLY | O_CREAT, 0o600)
            #expect(write(descriptor, bytes, bytes.count) == bytes.count)
            close(descriptor)
            try await expectRefusal(place, "holds \(bytes.count) bytes, a key has 32; restore it from your backup")
        }
        #expect(rename(aside, place.key) == 0)
        #expect(await place.refusal() == "")
    }

    @Test func `a key outlives a state that was moved aside`() async throws {
        let place = try StateDirectory()
        try await place.written(1)
        let key = try place.read(place.key)
        #expect(rename(place.database, place.database + ".aside") == 0)
        let store = try place.open()
        #expect(try await store.ids.isEmpty)
        await store.close()
        #expect(try place.read(place.key) == key)
    }

    @Test func `the log of a crash without its database`() async throws {
        let place = try StateDirectory()
        let copy = try StateDirectory()
        let store = try place.open()
        try place.copyCrashed(to: copy)
        await store.close()
        #expect(unlink(copy.database) == 0)
        try await expectRefusal(copy, "is empty or gone, but its", "state.db-wal is there")
    }

    @Test(arguments: [false, true])
    func `no file and an empty one become a state`(isEmpty: Bool) async throws {
        let place = try StateDirectory()
        if isEmpty {
            #expect(mkdir("\(place.directory.path)/data", 0o700) == 0)
            close(open(place.database, O_WRONLY | O_CREAT, 0o600))
        }
        let store = try place.open()
        #expect(try await store.ids.isEmpty)
        let fingerprint = store.key.fingerprint
        await store.close()
        let again = try place.open()
        #expect(again.key.fingerprint == fingerprint)
        await again.close()
    }

    @Test func `a new state that cannot be made leaves no key behind`() async throws {
        let place = try StateDirectory()
        #expect(await place.refusal(nil, StateSchema(steps: ["nonsense"])).contains("syntax error"))
        #expect(try place.files().isEmpty)
        #expect(await place.refusal() == "")
    }
}

import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Dispatch
import Glibc
import Testing

@Suite(.timeLimit(.minutes(1)))
struct StoreFullDiskTests {
    private static func limit(_ bytes: Int?) {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
        limit.rlim_cur = bytes.map { rlim_t($0) } ?? limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
    }

    @Test func `beyond the file size limit a write fails whole, reads go on, and it heals`() async {
        // In a process of its own: the limit holds for every file that a process writes.
        await #expect(processExitsWith: .success) {
            let place = try StateDirectory()
            let store = try place.open()
            for number in 0..<10 { try await store.put(.sample(number)) }
            StoreFullDiskTests.limit(1_000_000)
            let error = await #expect(throws: StoreError.self) {
                try await store.put(.sample(10, padding: 2_000_000))
            }
            #expect(error?.detail.hasPrefix("state \(place.database): ") == true, "\(error?.detail ?? "")")
            #expect(try await store.ids.count == 10)
            #expect(try await store.write { $0.count(PlanFilter()) } == 10, "nothing of it is left")
            try await store.put(.sample(11))
            StoreFullDiskTests.limit(nil)
            try await store.put(.sample(10, padding: 2_000_000))
            await store.close()
            #expect(try StatePlace(place.database).check().flaws == [])
            let again = try place.open()
            #expect(try await again.ids.count == 12)
            await again.close()
        }
    }

    @Test(.enabled(if: SmallDisk.isPossible, "mounting a tmpfs is not permitted"))
    func `on a full disk a batch fails whole or not at all, reads go on, and it heals by itself`() async throws {
        let disk = try SmallDisk(kilobytes: 2048)
        let place = try StateDirectory(at: disk.path)
        let store = try place.open()
        for number in 0..<5 { try await store.put(.sample(number)) }
        let ballast = "\(disk.path)/ballast"
        disk.fill(ballast)

        let gate = DispatchSemaphore(value: 0)
        async let first: Void = store.write { _ in gate.wait() }
        #expect(try await eventually { store.counters.waiting == 0 && store.counters.bodies == 6 })
        let plans = try (5..<25).map { try Plan.sample($0, padding: 20_000) }
        let results = try await withThrowingTaskGroup(of: String?.self) { group in
            for plan in plans {
                group.addTask {
                    do throws(StoreError) {
                        try await store.put(plan)
                        return nil
                    } catch {
                        return error.detail
                    }
                }
            }
            #expect(try await eventually { store.counters.waiting == 20 })
            gate.signal()
            return try await group.reduce(into: []) { $0.append($1) }
        }
        try await first
        #expect(results.allSatisfy { $0?.contains("database or disk is full") == true }, "\(results)")
        #expect(results.allSatisfy { $0?.contains("free space on its file system") == true })
        #expect(try await store.ids.count == 5)

        #expect(unlink(ballast) == 0)
        try await store.put(.sample(99))
        await store.close()
        let again = try place.open()
        #expect(try await again.ids.count == 6)
        await again.close()
    }

    @Test(.enabled(if: SmallDisk.isPossible, "mounting a tmpfs is not permitted"))
    func `on a full disk no state is begun, and one that is there opens when there is room again`() async throws {
        let disk = try SmallDisk(kilobytes: 1024)
        let place = try StateDirectory(at: disk.path)
        let ballast = "\(disk.path)/ballast"
        disk.fill(ballast)
        #expect(await place.refusal().contains("No space left on device"))
        #expect(unlink(ballast) == 0)
        try await place.written(3)
        disk.fill(ballast)
        let refusal = await place.refusal()
        #expect(refusal == "" || refusal.hasPrefix("state \(place.database)"), "\(refusal)")
        #expect(unlink(ballast) == 0)
        let store = try place.open()
        #expect(try await store.ids.count == 3)
        await store.close()
    }

    @Test(.enabled(if: SmallDisk.isPossible, "mounting a tmpfs is not permitted"))
    func `a backup to a full disk leaves nothing behind`() async throws {
        let disk = try SmallDisk(kilobytes: 64)
        let place = try StateDirectory()
        try await place.written(50)
        let error = #expect(throws: StoreError.self) {
            try StatePlace(place.database).backUp(to: "\(disk.path)/copy.db")
        }
        #expect(error?.detail.contains("full") == true, "\(error?.detail ?? "")")
        for end in ["db", "key", "db-journal"] { #expect(access("\(disk.path)/copy.\(end)", F_OK) != 0) }
    }
}

import Glibc
import Metrics

/// What the kernel knows of this process, as of now; what cannot be read is `nil`.
struct ProcessFigures {
    let cpuMicroseconds: Int?
    let virtualBytes: Int?
    let residentBytes: Int?
    let openFiles: Int?
    let maxFiles: Int?

    /// `clock_gettime(2)`, `getrlimit(2)`, and `/proc/self`, which the process may read although it forbids dumps.
    init() {
        var time = timespec()
        let hasTime = clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0
        cpuMicroseconds = hasTime ? time.tv_sec * 1_000_000 + time.tv_nsec / 1000 : nil
        let pages = (try? readFile("/proc/self/statm", limit: 4096)).map { bytes in
            bytes.split(separator: UInt8(ascii: " ")).map { Int(String(decoding: $0, as: UTF8.self)) }
        }
        let size = sysconf(Int32(_SC_PAGESIZE))
        func bytes(_ index: Int) -> Int? {
            guard let pages, pages.indices.contains(index), let count = pages[index] else { return nil }
            let (bytes, overflows) = count.multipliedReportingOverflow(by: size)
            return overflows ? nil : bytes
        }
        virtualBytes = bytes(0)
        residentBytes = bytes(1)
        openFiles = Self.entries(of: "/proc/self/fd")
        var limit = rlimit()
        let hasLimit = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        maxFiles = hasLimit ? Int(clamping: limit.rlim_cur) : nil
    }

    /// The number of entries of a directory, without `.`, `..` and the one that reading it takes.
    private static func entries(of path: String) -> Int? {
        guard let directory = opendir(path) else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        return max(0, count - 3)
    }

    func write(to text: inout Exposition) {
        text.write(MetricNames.cpu, microseconds: cpuMicroseconds)
        text.write(MetricNames.resident, residentBytes)
        text.write(MetricNames.virtual, virtualBytes)
        text.write(MetricNames.openFiles, openFiles)
        text.write(MetricNames.maxFiles, maxFiles)
    }
}

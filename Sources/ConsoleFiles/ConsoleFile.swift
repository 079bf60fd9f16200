internal import CConsole

/// A file of the console: HTML, its stylesheet, a script.
package struct ConsoleFile: Sendable {
    package let name: String
    package let mediaType: String
    package let bytes: [UInt8]

    /// All files, as they were when the program was compiled (`console_file_at`).
    package static let all: [ConsoleFile] = {
        var files: [ConsoleFile] = []
        while let entry = unsafe console_file_at(files.count) {
            // SAFETY: the table is constant: its texts end with a zero, and `bytes` has `length` bytes.
            let file = unsafe entry.pointee
            let bytes = unsafe UnsafeBufferPointer(start: file.bytes, count: file.length)
            files.append(
                unsafe ConsoleFile(
                    name: String(cString: file.name), mediaType: String(cString: file.media_type), bytes: Array(bytes)))
        }
        return files
    }()
}

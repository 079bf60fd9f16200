#ifndef CONSOLE_H
#define CONSOLE_H

#include <stddef.h>

/* A file of the console. */
struct console_file {
    const char *name;
    const char *media_type;
    const unsigned char *bytes;
    size_t length;
};

/* The file with that number, counted from 0; NULL behind the last one. */
const struct console_file *console_file_at(size_t number);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target without the fuzzer: runs every file, and every file of every directory, of its arguments
 * once, as a regression test.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>

static int run_file(int folder, const char *name)
{
    static uint8_t data[4 * 1024 * 1024];
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (!f) {
        perror(name);
        return 1;
    }
    size_t size = fread(data, 1, sizeof(data), f);
    fclose(f);
    LLVMFuzzerTestOneInput(data, size);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2, n = 0;
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 1; i < argc; i++) {
        int fd = openat(here, argv[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *folder = fd < 0 ? NULL : fdopendir(fd);
        if (!folder) {
            failed |= run_file(here, argv[i]);
            n++;
            continue;
        }
        for (struct dirent *entry; (entry = readdir(folder));) {
            if (entry->d_type != DT_REG)
                continue;
            failed |= run_file(dirfd(folder), entry->d_name);
            n++;
        }
        closedir(folder);
    }
    printf("%d inputs\n", n);
    return failed || n == 0;
}

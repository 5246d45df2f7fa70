"""The machine on which the figures were measured, in a few lines."""
import os
import pathlib
import platform
import shutil
import subprocess

LIBRARIES = ('openssl', 'lmdb', 'sqlite3', 'libmaxminddb', 'hiredis')


def read(path):
    try:
        return pathlib.Path(path).read_text(encoding='utf-8').strip()
    except OSError:
        return '?'


def output(*words):
    try:
        return subprocess.run(words, stdout=subprocess.PIPE, check=True,
                              stderr=subprocess.DEVNULL, encoding='utf-8',
                              stdin=subprocess.DEVNULL).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return '?'


def processor(cpuinfo):
    names = [line.split(':', 1)[1].strip() for line in cpuinfo.splitlines()
             if line.startswith('model name')]
    return names[0] if names else platform.machine()


def memory(meminfo):
    for line in meminfo.splitlines():
        if line.startswith('MemTotal:'):
            return f'{int(line.split()[1]) / 2**20:.0f} GiB'
    return '?'


def caches():
    """The sizes of the second and the third level, of the first core."""
    folder = pathlib.Path('/sys/devices/system/cpu/cpu0/cache')
    found = []
    for index in sorted(folder.glob('index*')):
        level = read(index / 'level')
        if level in ('2', '3'):
            size = read(index / 'size').replace('K', '')
            found.append(f'L{level} {int(size) / 1024:g} MiB')
    return ', '.join(found) or 'caches unknown'


def file_system(directory, mounts):
    """The type of the file system in which a directory is."""
    directory, best, kind = os.path.realpath(directory) + '/', '', '?'
    for line in mounts.splitlines():
        point = line.split()[1].replace('\\040', ' ')
        if (directory.startswith(point.rstrip('/') + '/')
                and len(point) >= len(best)):
            best, kind = point, line.split()[2]
    return f'{kind} at {best}' if best else kind


def chosen(text):
    """Of "always [madvise] never" the word in brackets."""
    return text.partition('[')[2].partition(']')[0] or '?'


def versions():
    found = [f'{name} {output("pkg-config", "--modversion", name)}'
             for name in LIBRARIES]
    if shutil.which('redis-server'):
        words = output('redis-server', '--version').split()
        found += [f'redis {word[2:]}' for word in words
                  if word.startswith('v=')]
    return ', '.join(found)


def describe(scratch):
    """Lines about the machine; the stores are made in scratch."""
    huge = '/sys/kernel/mm/transparent_hugepage/'
    return [
        f'{processor(read("/proc/cpuinfo"))}, '
        f'{len(os.sched_getaffinity(0))} processors, {caches()}, '
        f'{memory(read("/proc/meminfo"))} of memory',
        f'{platform.system()} {platform.release()}, huge pages '
        f'{chosen(read(huge + "enabled"))}, in shared memory '
        f'{chosen(read(huge + "shmem_enabled"))}',
        f'stores on {file_system(scratch, read("/proc/self/mounts"))}',
        versions()]

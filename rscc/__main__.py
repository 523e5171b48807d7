"""``python -m rscc``: the console command where it is not on the PATH."""
from rscc.cli import main

if __name__ == '__main__':
    main()

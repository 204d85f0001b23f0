"""What people bring, in rows, and the ways to call uag with it, in columns: does each work?"""
